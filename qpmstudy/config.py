"""The configuration of one pipeline: a tree of frozen sections, one per stage.

A value's path in this tree ("finetune.l1_fm") is its name everywhere: in study files,
result columns and TensorBoard. Defaults are the paper's (DINO-QPM, CVPR-W 2026, appendix);
the legal range stands beside each field and is enforced where study files are read.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal


@dataclass(frozen=True)
class Range:
    """Closed (`ge`, `le`) or open (`gt`, `lt`) bounds of a numeric field."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None


Count = Annotated[int, Range(ge=1)]
Weight = Annotated[float, Range(ge=0)]
Rate = Annotated[float, Range(gt=0)]
SolverName = Literal["auto", "lagrangian", "gurobi", "highs"]
InputName = Literal["patches", "cls", "both", "concat"]
PoolingName = Literal["avg", "max"]
MethodName = Literal["none", "qpm", "sldd", "qsenn"]
AdapterName = Literal["mlp", "resnet50"]
OptimizerName = Literal["schedulefree", "sgd"]


@dataclass(frozen=True)
class EmbeddingsConfig:
    """Which store of frozen embeddings the pipeline reads."""

    dataset: str = "birds"
    backbone: str = "patch-descriptor"


@dataclass(frozen=True)
class SplitConfig:
    """How the training images are divided: the share held out to search on."""

    validation: Annotated[float, Range(ge=0, le=0.5)] = 0.2


@dataclass(frozen=True)
class AdapterConfig:
    """The MLP on every token: L layers, hidden width N_h, N_f features.

    Without a layer the features are the tokens' own channels, and `hidden` and `features` say
    nothing. What `input` and `pooling` make of the tokens: `qpmstudy.adapter`.

    The kind "resnet50" is a whole network, trained from a store of pixels: 2048 features, and
    `depth`, `hidden` and `features` say nothing. It starts from weights drawn at random or from
    torchvision's of ImageNet (`qpmstudy.resnet`: one file, known by its hash).
    """

    kind: AdapterName = "mlp"
    weights: Literal["random", "imagenet"] = "random"
    depth: Annotated[int, Range(ge=0, le=32)] = 4
    hidden: Count = 2048
    features: Annotated[int, Range(ge=2)] = 512
    input: InputName = "patches"
    pooling: PoolingName = "avg"
    cls_statistics: bool = False  # CLS in the batch norm of "patches" too, as in the reference


@dataclass(frozen=True)
class DenseConfig:
    """Dense phase: adapter and linear head trained together.

    What "sgd" adds, momentum and a rate that falls in steps, is published with QPM
    (`qpmstudy.optimizers`).
    """

    optimizer: OptimizerName = "schedulefree"
    epochs: Count = 40
    batch: Count = 32
    lr: Rate = 1e-3
    weight_decay: Weight = 7e-4
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.2
    div: Weight = 0.5


@dataclass(frozen=True)
class SelectConfig:
    """How N* features are chosen and k given to each class; for "qpm", how hard to try.

    With "none" the dense model is the final one. What follows `per_class` is for the quadratic
    program alone.
    """

    method: MethodName = "qpm"
    features: Annotated[int, Range(ge=2)] = 50
    per_class: Count = 5
    pair_rule: Literal["correct", "reference"] = "correct"  # which similar pairs are penalised
    bias: Literal["none", "locality"] = "none"  # b of the objective
    solver: SolverName = "auto"
    fallback: Literal["fail", "lagrangian"] = "fail"  # where the solver named cannot be had
    gap: Weight = 5e-3
    time_limit: Annotated[float, Range(gt=0)] = 10800.0  # seconds


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tuning of the adapter under the sparse head.

    Q-SENN has three rounds before the last, each of at most `early_epochs` (10 as published with
    Q-SENN; in the code of the DINO-QPM paper every round has all the `epochs`, 25).
    """

    optimizer: OptimizerName = "schedulefree"
    epochs: Count = 50
    early_epochs: Count = 10
    batch: Count = 32
    lr: Rate = 5e-3
    weight_decay: Weight = 8e-4
    div: Weight = 1.0
    l1_fm: Weight = 5.0
    l1_fv: Weight = 1.0
    standardise: bool = True  # f in the sparse layer, as the reference does; False: the paper's W f


@dataclass(frozen=True)
class EvaluateConfig:
    """What the metrics are computed with."""

    sid_k: Count = 5


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that decides the result of one pipeline run, except the seed."""

    embeddings: EmbeddingsConfig = field(default_factory=EmbeddingsConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


def with_values(config: PipelineConfig, values: Mapping[str, object]) -> PipelineConfig:
    """Return a copy with the values at the given paths ("finetune.l1_fm") replaced."""
    changed: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, _, name = path.partition(".")
        changed.setdefault(section, {})[name] = value
    sections = {name: replace(getattr(config, name), **new) for name, new in changed.items()}
    return replace(config, **sections)


def flatten(config: PipelineConfig) -> dict[str, object]:
    """Return every value of a configuration by its path, in the order of the sections."""
    return {
        f"{section}.{name}": value
        for section, values in asdict(config).items()
        for name, value in values.items()
    }


COMBINED = frozenset(
    {
        *("adapter.depth", "adapter.features", "adapter.input", "adapter.pooling"),
        *("adapter.cls_statistics", "select.method", "select.features", "select.per_class"),
        *("finetune.standardise", "embeddings.backbone", "adapter.kind", "adapter.weights"),
        *("dense.optimizer", "finetune.optimizer"),
    }
)
"""The values that `contradictions` has a rule for."""


PIXELS = ("pixels", "pixels-112")
"""The backbones that a network can be trained from."""

RESNET_FEATURES = 2048
"""What a ResNet-50's last stage gives, whatever `adapter.features` is."""


def contradictions(config: PipelineConfig) -> list[str]:
    """Return every rule between values that a configuration breaks, each as a sentence."""
    adapter, select = config.adapter, config.select
    resnet = adapter.kind == "resnet50"
    problems = _resnet_contradictions(config) if resnet else _mlp_contradictions(adapter)
    if select.method == "none":
        return problems
    if resnet:
        if select.features > RESNET_FEATURES:
            problems.append(
                f"select.features = {select.features} is more than the {RESNET_FEATURES} that "
                "adapter.kind = resnet50 has to select from"
            )
    elif adapter.depth == 0:
        problems.append(
            f"adapter.depth = 0 leaves nothing to fine-tune after select.method = "
            f"{select.method}: set select.method: none, or a depth of at least 1"
        )
    elif select.features > adapter.features:
        problems.append(
            f"select.features = {select.features} is more than the adapter.features = "
            f"{adapter.features} there are to select from"
        )
    if select.per_class > select.features:
        problems.append(
            f"select.per_class = {select.per_class} is more than select.features = "
            f"{select.features}"
        )
    if select.method != "qpm" and not config.finetune.standardise:
        problems.append(
            f"finetune.standardise = False, but the weights of select.method = {select.method} "
            "are made for standardised features; only those of qpm do without"
        )
    return problems


def _mlp_contradictions(adapter: AdapterConfig) -> list[str]:
    problems = []
    if adapter.weights != "random":
        problems.append(
            f"adapter.weights = {adapter.weights}, but nobody publishes weights of adapter.kind = "
            "mlp: leave it at random"
        )
    if adapter.input == "cls" and adapter.pooling != "avg":
        problems.append(
            f"adapter.pooling = {adapter.pooling}, but with adapter.input = cls nothing is "
            "pooled: leave it at avg"
        )
    if adapter.cls_statistics and (adapter.input != "patches" or adapter.depth == 0):
        problems.append(
            "adapter.cls_statistics = True is for adapter.input = patches with a depth of at "
            f"least 1, not for {adapter.input} with depth {adapter.depth}"
        )
    return problems


def _resnet_contradictions(config: PipelineConfig) -> list[str]:
    adapter, backbone = config.adapter, config.embeddings.backbone
    problems = []
    if backbone not in PIXELS:
        problems.append(
            f"adapter.kind = resnet50 is trained from pixels, but embeddings.backbone = {backbone}:"
            f" set one of {', '.join(PIXELS)}"
        )
    if (adapter.input, adapter.pooling, adapter.cls_statistics) != ("patches", "avg", False):
        problems.append(
            "adapter.kind = resnet50 averages its own maps: leave adapter.input at patches, "
            f"adapter.pooling at avg and adapter.cls_statistics at False, not {adapter.input}, "
            f"{adapter.pooling} and {adapter.cls_statistics}"
        )
    phases = {"dense": config.dense.optimizer, "finetune": config.finetune.optimizer}
    if config.select.method == "none":
        phases.pop("finetune")
    problems += [
        f"{phase}.optimizer = {optimizer}, but adapter.kind = resnet50 is trained with sgd: set it"
        for phase, optimizer in phases.items()
        if optimizer != "sgd"
    ]
    return problems
