"""Early stopping as a study file asks for it: where trials are compared, by what, who goes on."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qpmstudy.columns import SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.registry import did_you_mean
from storage.study.validation import Frozen

EPOCH_FIGURES = (
    *("validation_accuracy", "train_accuracy", "loss", "cross_entropy", "diversity"),
    *("l1_fm", "l1_fv"),
)
"""What the record of an epoch may tell (qpmstudy.training)."""
DENSE_FIGURES = tuple(f"dense_{name}" for name in (*SPLIT_METRICS, *TRAINING_METRICS))
"""What the evaluation of a dense model tells, by the columns of a row."""
Measures = dict[str, Literal["max", "min"]]


class Rung(Frozen):
    """A point that trials pass on their way: the dense model measured, or the end of an epoch."""

    after: Literal["evaluate_dense", "dense", "finetune"]
    """When the dense model is measured, or in which phase of training."""
    epoch: Annotated[int, Field(ge=1, strict=True)] | None = None
    """After which epoch of that phase [epochs]."""
    by: Measures = Field(default_factory=dict)
    """What trials are compared by, `max` or `min`; none, at evaluate_dense: the dense model's
    objectives."""

    @model_validator(mode="after")
    def _measured(self) -> "Rung":
        if self.after == "evaluate_dense":
            if self.epoch is not None:
                raise ValueError("evaluate_dense has no epochs: leave `epoch` out")
        elif self.epoch is None:
            raise ValueError(
                f"give an `epoch` of {self.after}; what a dense model is worth is known after "
                "evaluate_dense, what fine-tuning ends in is the result itself"
            )
        elif not self.by:
            raise ValueError(
                "an epoch's rung needs `by`, figures of its record: {validation_accuracy: max, "
                "l1_fm: min}"
            )
        return self

    @property
    def label(self) -> str:
        """Return its name: "evaluate_dense", "finetune@10"."""
        return self.after if self.epoch is None else f"{self.after}@{self.epoch}"

    @property
    def figures(self) -> tuple[str, ...]:
        """Return what is measured there."""
        return DENSE_FIGURES if self.epoch is None else EPOCH_FIGURES

    def measures(self, objectives: Measures) -> Measures:
        """Return what trials are compared by, given the objectives of the study."""
        return self.by or {f"dense_{name}": way for name, way in objectives.items()}


class EarlyStopping(Frozen):
    """`early_stopping: {rungs: [{after: evaluate_dense}], keep: 0.5}`."""

    rungs: Annotated[tuple[Rung, ...], Field(min_length=1)]
    """Where trials are compared."""
    keep: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    """Of those that have reached a rung, the share that goes on; whole fronts do [fraction]."""
    min_reached: Annotated[int, Field(ge=2, strict=True)] = 4
    """As many must have reached a rung before any is stopped there [trials]."""

    @model_validator(mode="after")
    def _once(self) -> "EarlyStopping":
        labels = [rung.label for rung in self.rungs]
        if len(set(labels)) < len(labels):
            raise ValueError(f"a rung stands twice ({', '.join(labels)})")
        return self

    def problems(self, objectives: Measures, validated: bool) -> Iterable[str]:
        """Yield what is wrong beside the rest of a study, a sentence each.

        `validated` says whether it holds out validation images.
        """
        for rung in self.rungs:
            for name in rung.measures(objectives):
                if name not in rung.figures:
                    yield (
                        f"early_stopping.rungs: at {rung.label} there is no figure {name!r}, only "
                        f"{', '.join(rung.figures)}.{did_you_mean(name, rung.figures)}"
                    )
                elif name == "validation_accuracy" and not validated:
                    yield (
                        f"early_stopping.rungs: at {rung.label} nothing is known of validation "
                        "images, as `split.validation` is 0 (it is with `protocol: paper`)."
                    )

    def notes(self, objectives: Measures) -> Iterable[str]:
        """Yield what whoever stops trials early should know, a sentence each."""
        for rung in self.rungs:
            measures = list(rung.measures(objectives))
            if len(measures) == 1 < len(objectives):
                yield (
                    f"early stopping at {rung.label} compares trials by {measures[0]} alone: one "
                    "that is good in another objective may be stopped"
                )
