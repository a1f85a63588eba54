"""How many replicates a configuration has: a number, or bounds between which it depends."""

from typing import Annotated, Any

from pydantic import Field, model_serializer, model_validator

from storage.study.validation import Frozen

MOST = 1000
Count = Annotated[int, Field(ge=1, le=MOST, strict=True)]


class Seeds(Frozen):
    """`seeds: 3`, or `seeds: {min: 2, max: 10}`: more than `min` where the front is in doubt."""

    min: Count
    """As many every configuration gets; 2 at least where `max` is more [replicates]."""
    max: Count
    """As many a configuration gets while it is uncertain who is on the front [replicates]."""

    @model_validator(mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        if isinstance(given, dict | Seeds):
            return given
        if isinstance(given, bool) or not isinstance(given, int):
            raise ValueError("Input should be a valid integer, or {min: ..., max: ...}")
        if given < 1:
            raise ValueError("Input should be greater than or equal to 1")
        if given > MOST:
            raise ValueError(f"Input should be less than or equal to {MOST}")
        return {"min": given, "max": given}

    @model_validator(mode="after")
    def _ordered(self) -> "Seeds":
        if self.min > self.max:
            raise ValueError(f"`min` ({self.min}) must not be above `max` ({self.max})")
        if self.min == 1 < self.max:
            raise ValueError("`min` must be 2 at least: one seed tells nothing about the spread")
        return self

    @model_serializer
    def _short(self) -> int | dict[str, int]:
        return {"min": self.min, "max": self.max} if self.adaptive else self.max

    @property
    def adaptive(self) -> bool:
        """Return whether the number depends on what the first seeds give."""
        return self.min < self.max

    def __str__(self) -> str:
        """Return "3", or "2 to 10"."""
        return f"{self.min} to {self.max}" if self.adaptive else str(self.max)
