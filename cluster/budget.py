"""What a launch may spend: time, and stages that it computes."""

from collections.abc import Callable
from dataclasses import dataclass

from qpmstudy.errors import ConfigError
from storage.study.durations import seconds_of, words


@dataclass(frozen=True)
class Budget:
    """Bounds of one launch; None: none. What runs when one is reached ends; nothing new starts."""

    seconds: float | None = None
    stages: int | None = None  # computed, not reused or awaited

    @classmethod
    def parse(cls, time: str | None = None, stages: int | None = None) -> "Budget":
        """Return the budget of `--time-budget` ("90m", "1h30m", "2.5h") and `--max-stages`.

        Raises:
            ConfigError: one of them is no duration or number above 0.
        """
        if stages is not None and stages < 1:
            raise ConfigError(f"--max-stages must be 1 at least (got {stages}).")
        return cls(None if time is None else _seconds(time), stages)

    def spent(self, seconds: float, stages: int) -> str | None:
        """Return which bound is reached, in words, or None.

        Args:
            seconds: since the launch.
            stages: that were computed since, those that run included.
        """
        if self.seconds is not None and seconds >= self.seconds:
            return f"the time budget of {words(self.seconds)} is spent"
        if self.stages is not None and stages >= self.stages:
            return f"the budget of {self.stages} computed stages is spent"
        return None


@dataclass
class Spending:
    """What a launch has spent of its budget, asked by the clock.

    Attributes:
        start: when the launch began, by the clock that it is asked by.
        computed: says how many stages were computed so far.
        said: which bound was reached first, in words.
    """

    budget: Budget
    start: float
    computed: Callable[[], int] = lambda: 0
    said: str | None = None

    def over(self, now: float) -> bool:
        """Return whether a bound is reached."""
        self.said = self.said or self.budget.spent(now - self.start, self.computed())
        return self.said is not None


def _seconds(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise ConfigError(f"--time-budget {error} (got {text!r}).") from None
