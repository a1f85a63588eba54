"""The specification of a study, frozen once it is read."""

import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.paper import TABLES
from storage.layout import STUDY_NAME
from storage.study.durations import Duration, seconds_of
from storage.study.seeds import Seeds
from storage.study.space import Parameter, SpaceEntry, grid, parameters_of
from storage.study.stopping import EarlyStopping
from storage.study.validation import Frozen

Direction = Literal["max", "min"]
StudyName = Annotated[str, Field(pattern=f"^{STUDY_NAME.pattern}$")]


class Resources(Frozen):
    """What one task of a stage occupies on its node, and for how long at most."""

    cpu: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)] = 1
    """Processor cores [cores]."""
    gpu: Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)] = 0
    """GPUs, or a share of one: two tasks of 0.5 run side by side on it [GPUs]."""
    gurobi: Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)] | None = None
    """Gurobi licenses; none: one for a selection that may use Gurobi, if there are any [tokens]."""
    time_limit: Duration | None = None
    """How long a task may take, such as 90m, 1h30m or 2.5h: a longer one is ended, and tried once
    more. Waiting for resources does not count; none: as long as it does."""

    @property
    def limit_seconds(self) -> float:
        """Return how long a task may take (seconds)."""
        return math.inf if self.time_limit is None else seconds_of(self.time_limit)


class TableSpec(Frozen):
    """What `study table` makes of the results."""

    paper: str | None = None
    """The table or figure of the paper that the study repeats."""
    metrics: tuple[str, ...] = ()
    """Columns of the results, in order; none: those of the paper's first table."""

    @field_validator("paper")
    @classmethod
    def _in_the_paper(cls, name: str | None) -> str | None:
        if name is not None and name not in TABLES:
            raise ValueError(f"must be one of {', '.join(TABLES)}")
        return name


class TensorBoardSpec(Frozen):
    """What TensorBoard shows of a study."""

    images: Annotated[int, Field(ge=0, strict=True)] = 100
    """Trials that show a picture of overlays: the first so many. TensorBoard keeps pictures in
    memory, at about 0.3 MB each [trials]."""


class StudySpec(Frozen):
    """A study: one pipeline, the values to vary, and how to go about it."""

    name: StudyName
    """Its name in every command, and its folder below the root."""
    description: str = ""
    """A line for people."""
    pipeline: PipelineConfig = Field(default_factory=PipelineConfig)
    """Configuration values by section; what is left out has the paper's default."""
    space: Annotated[dict[str, SpaceEntry], Field(min_length=1)]
    """What is varied, an entry a parameter: named by the path of a value (`finetune.l1_fm`), or
    as you like where `paths` or `variants` say what is set."""
    seeds: Seeds = Seeds(min=3, max=3)
    """Replicates of each configuration; objectives are means over them [replicates]."""
    objectives: Annotated[dict[str, Direction], Field(min_length=1)] = Field(
        default={"accuracy": "max", "plausibility": "max"}
    )
    """What is searched for: metrics, and whether more or less of each is better."""
    sampler: Literal["grid", "random", "tpe", "nsga2", "gp"] = "grid"
    """Who picks the configurations; all but `grid` need `trials`."""
    trials: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    """How many configurations; a grid has as many as its space [configurations]."""
    warm_start: tuple[StudyName, ...] = ()
    """Earlier studies whose results in this space the sampler knows; the study does not count
    them."""
    early_stopping: EarlyStopping | None = None
    """Which trials end before their last stage; none: all go to their end."""
    protocol: Literal["validation", "paper"] = "validation"
    """Whether the search looks at a validation split, or at the test split as in the paper."""
    parallel: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Trials in flight; none: enough to keep every slot busy [trials]."""
    stages: dict[str, Resources] = Field(default_factory=dict)
    """What a task of a stage occupies, by the name of the stage."""
    table: TableSpec = Field(default_factory=TableSpec)
    """What `study table` sets beside the paper's values."""
    tensorboard: TensorBoardSpec = Field(default_factory=TensorBoardSpec)
    """What TensorBoard shows."""

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The dimensions of the search, made once: each trial asks for them, and some have many."""
        return parameters_of(self.space, self.pipeline)

    @property
    def searched(self) -> set[str]:
        """Return the paths of all configuration values that are varied."""
        return {path for parameter in self.parameters for path in parameter.paths}

    @property
    def configurations(self) -> int:
        """Return how many configurations the study runs."""
        return len(grid(self.parameters)) if self.trials is None else self.trials

    @property
    def objective_split(self) -> str:
        """Return the split that bare metric names are measured on."""
        return "test" if self.protocol == "paper" else "validation"

    def resources(self, stage: str) -> Resources:
        """Return what a task of `stage` occupies: one CPU unless the study says otherwise."""
        return self.stages.get(stage, Resources())

    def choices(self, path: str) -> tuple[object, ...]:
        """Return every value that the study may set at `path`; a range gives none."""
        usual = flatten(self.pipeline)[path]
        for parameter in self.parameters:
            if path in parameter.paths:
                found = parameter.choices(path)
                return tuple(dict.fromkeys((*found, usual))) if parameter.when else found
        return (usual,)

    def most(self, path: str) -> float:
        """Return the largest number that the study may set at `path`."""
        ranges = (one.high for one in self.parameters if path in one.paths and not one.values)
        return max([*ranges, *(float(str(value)) for value in self.choices(path))])

    def stores(self) -> list[tuple[str, str]]:
        """Return every (dataset, backbone) pair whose embeddings the study may read."""
        return [
            (str(dataset), str(backbone))
            for dataset in self.choices("embeddings.dataset")
            for backbone in self.choices("embeddings.backbone")
        ]

    @property
    def pools_by_mean(self) -> bool:
        """Return whether features are means of maps throughout: L1 of both is one loss then."""
        return all(
            self.choices(f"adapter.{name}") == (usual,)
            for name, usual in (("input", "patches"), ("pooling", "avg"))
        )

    def notes(self) -> list[str]:
        """Return what whoever asks this question should know before reading the answer."""
        notes = []
        if {"finetune.l1_fm", "finetune.l1_fv"} <= self.searched and self.pools_by_mean:
            notes.append(
                "finetune.l1_fm and finetune.l1_fv are one loss here (features end in a ReLU and "
                "are pooled by their mean): only their sum matters"
            )
        if self.protocol == "paper":
            notes.append(
                "protocol: paper searches on the test split, so test figures are optimistic"
            )
        if self.seeds.max == 1:
            notes.append("with one seed there is no standard error: differences may be chance")
        if self.early_stopping:
            notes += self.early_stopping.notes(self.objectives)
        return notes

    def canonical(self) -> dict[str, Any]:
        """Return the specification as JSON types, with every default written out."""
        content: dict[str, Any] = self.model_dump(mode="json")
        return content
