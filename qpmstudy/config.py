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
MethodName = Literal["qpm", "sldd", "qsenn"]


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
    """The MLP on every token: L layers, hidden width N_h, N_f features."""

    depth: Annotated[int, Range(ge=1, le=32)] = 4
    hidden: Count = 2048
    features: Annotated[int, Range(ge=2)] = 512


@dataclass(frozen=True)
class DenseConfig:
    """Dense phase: adapter and linear head trained together."""

    epochs: Count = 40
    batch: Count = 32
    lr: Rate = 1e-3
    weight_decay: Weight = 7e-4
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.2
    div: Weight = 0.5


@dataclass(frozen=True)
class SelectConfig:
    """How N* features are chosen and k given to each class; for "qpm", how hard to try.

    What follows `per_class` is for the quadratic program alone.
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
    """Fine-tuning of the adapter under the sparse binary head."""

    epochs: Count = 50
    batch: Count = 32
    lr: Rate = 5e-3
    weight_decay: Weight = 8e-4
    div: Weight = 1.0
    l1_fm: Weight = 5.0
    l1_fv: Weight = 1.0


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


def contradictions(config: PipelineConfig) -> list[str]:
    """Return every rule between values that a configuration breaks, each as a sentence."""
    adapter, select = config.adapter, config.select
    problems = []
    if select.features > adapter.features:
        problems.append(
            f"select.features = {select.features} is more than the adapter.features = "
            f"{adapter.features} there are to select from"
        )
    if select.per_class > select.features:
        problems.append(
            f"select.per_class = {select.per_class} is more than select.features = "
            f"{select.features}"
        )
    return problems
