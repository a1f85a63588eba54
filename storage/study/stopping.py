"""Early stopping as a study file asks for it: where trials are compared, by what, who goes on."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from storage.study.validation import Frozen

EPOCH_FIGURES = (
    *(
        "validation_accuracy",
        "train_accuracy",
        "loss",
        "cross_entropy",
        "diversity",
        "l1_fm",
        "l1_fv",
    ),
)
"""What the record of an epoch may tell (qpmstudy.training)."""
Measures = dict[str, Literal["max", "min"]]


class Rung(Frozen):
    """A point that trials pass on their way: the end of the dense phase, or of an epoch."""

    after: Literal["dense", "finetune"]
    epoch: Annotated[int, Field(ge=1, strict=True)] | None = None
    by: Measures = Field(default_factory=dict)
    """What trials are compared by; none, after the dense phase: its model's objectives."""

    @model_validator(mode="after")
    def _measured(self) -> "Rung":
        if self.epoch is None and self.after != "dense":
            raise ValueError("give an `epoch`: what fine-tuning ends in is the result itself")
        if self.epoch is not None and not self.by:
            raise ValueError(
                "an epoch's rung needs `by`, figures of its record: {validation_accuracy: max, "
                "l1_fm: min}; what stands for one objective alone would stop good trade-offs"
            )
        return self

    @property
    def label(self) -> str:
        """Return its name: "dense", "finetune@10"."""
        return self.after if self.epoch is None else f"{self.after}@{self.epoch}"

    def measures(self, objectives: Measures) -> Measures:
        """Return what trials are compared by, given the objectives of the study."""
        return self.by or {f"dense_{name}": way for name, way in objectives.items()}


class Stopping(Frozen):
    """`stop: {rungs: [{after: dense}], keep: 0.5}`."""

    rungs: Annotated[tuple[Rung, ...], Field(min_length=1)]
    keep: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    """Of those that have come to a rung, the share that goes on; whole fronts do."""
    least: Annotated[int, Field(ge=2, strict=True)] = 4
    """As many must have come to a rung before any is stopped there."""

    @model_validator(mode="after")
    def _once(self) -> "Stopping":
        labels = [rung.label for rung in self.rungs]
        if len(set(labels)) < len(labels):
            raise ValueError(f"a rung stands twice ({', '.join(labels)})")
        return self
