"""The configuration of one pipeline: a tree of frozen sections, one per stage.

A value's path in this tree ("finetune.l1_fm") is its name everywhere: in study files,
result columns and TensorBoard. Defaults are the paper's (DINO-QPM, CVPR-W 2026, appendix);
the legal range stands beside each field and is enforced where study files are read. The line
below a field says what it means, its unit in brackets: docs/reference and the JSON schema of study
files are made of it (`storage.study.schema`).
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


PIXELS = ("pixels", "pixels-112")
"""The backbones that a network can be trained from."""

RESNET_FEATURES = 2048
"""What a ResNet-50's last stage gives, whatever `adapter.features` is."""


@dataclass(frozen=True)
class EmbeddingsConfig:
    """Which store of frozen embeddings the pipeline reads."""

    dataset: str = "birds"
    """The images: `birds` and its other sizes, a published dataset, or `folder-NAME` (how-to)."""
    backbone: str = "patch-descriptor"
    """The frozen network, with what changes its tokens behind an `@`."""


@dataclass(frozen=True)
class SplitConfig:
    """How the training images are divided: the share held out to search on."""

    validation: Annotated[float, Range(ge=0, le=0.5)] = 0.2
    """Share of the training images that is held out to search on [fraction]."""


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
    """An MLP on frozen tokens, or a ResNet-50 that is trained from pixels."""
    weights: Literal["random", "imagenet"] = "random"
    """What a ResNet-50 starts from; of an MLP nobody publishes any."""
    depth: Annotated[int, Range(ge=0, le=32)] = 4
    """Layers L; 0: a linear probe [layers]."""
    hidden: Count = 2048
    """Width N_h of all layers but the last [channels]."""
    features: Annotated[int, Range(ge=2)] = 512
    """Features N_f there are to select from [features]."""
    input: InputName = "patches"
    """What a feature is made of: patches, CLS, the mean of both, or CLS beside every patch."""
    pooling: PoolingName = "avg"
    """What becomes of a feature's map: its mean or its maximum."""
    cls_statistics: bool = False
    """Whether CLS is in the batch norm of "patches" too, as in the reference."""


@dataclass(frozen=True)
class DenseConfig:
    """Dense phase: adapter and linear head trained together.

    What "sgd" adds, momentum and a rate that falls in steps, is published with QPM
    (`qpmstudy.optimizers`).
    """

    optimizer: OptimizerName = "schedulefree"
    """Schedule-free AdamW, or SGD with momentum as published with QPM."""
    epochs: Count = 40
    """Passes over the training images [epochs]."""
    batch: Count = 32
    """Images a step [images]."""
    lr: Rate = 1e-3
    """Learning rate."""
    weight_decay: Weight = 7e-4
    """Weight decay."""
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.2
    """Probability that a feature is left out of a training step [fraction]."""
    div: Weight = 0.5
    """Weight of the diversity loss: features look at different places."""


@dataclass(frozen=True)
class SelectConfig:
    """How N* features are chosen and k given to each class; for "qpm", how hard to try.

    With "none" the dense model is the final one. What follows `per_class` is for the quadratic
    program alone.
    """

    method: MethodName = "qpm"
    """The quadratic program, an elastic net from before it, or none: the dense model is final."""
    features: Annotated[int, Range(ge=2)] = 50
    """Features N* that the model keeps [features]."""
    per_class: Count = 5
    """Features k of each class [features]."""
    pair_rule: Literal["correct", "reference"] = "correct"
    """Which similar pairs are penalised: the paper's, or those of the reference's code."""
    bias: Literal["none", "locality"] = "none"
    """The term b of the objective: none, or what a feature's locality is worth."""
    solver: SolverName = "auto"
    """Who solves: `auto` is Gurobi where a license covers the size, else the open solver."""
    fallback: Literal["fail", "lagrangian"] = "fail"
    """What to do where the solver named cannot be had: fail, or leave it to the open one."""
    gap: Weight = 5e-3
    """Stop when the answer is proven this near to the best one [fraction]."""
    time_limit: Annotated[float, Range(gt=0)] = 10800.0
    """Stop with the best answer so far after this time [seconds]."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tuning of the adapter under the sparse head.

    Q-SENN has three rounds before the last, each of at most `early_epochs` (10 as published with
    Q-SENN; in the code of the DINO-QPM paper every round has all the `epochs`, 25).
    """

    optimizer: OptimizerName = "schedulefree"
    """Schedule-free AdamW, or SGD with momentum as published with QPM."""
    epochs: Count = 50
    """Passes over the training images [epochs]."""
    early_epochs: Count = 10
    """Passes in each round of Q-SENN before the last, at most [epochs]."""
    batch: Count = 32
    """Images a step [images]."""
    lr: Rate = 5e-3
    """Learning rate."""
    weight_decay: Weight = 8e-4
    """Weight decay."""
    div: Weight = 1.0
    """Weight of the diversity loss: features look at different places."""
    l1_fm: Weight = 5.0
    """Weight of L1 on the feature maps: a feature is silent where it is not needed."""
    l1_fv: Weight = 1.0
    """Weight of L1 on the feature vector; with means as pooling the same loss as `l1_fm`."""
    standardise: bool = True
    """Whether the sparse layer reads standardised features, as in the reference; else W f."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What the metrics are computed with."""

    sid_k: Count = 5
    """Features k of SID@k, at most as many as a class has [features]."""


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
