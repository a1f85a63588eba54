"""What a configuration must keep to: METRIC COMPARISON NUMBER, "accuracy >= 0.85" or "85%"."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from qpmstudy.errors import ConfigError
from qpmstudy.registry import did_you_mean

_GRAMMAR = re.compile(
    r"\s*(?P<metric>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<comparison>>=|<=|>|<)\s*"
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<percent>%?)\s*"
)
_COMPARISONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    ">=": np.greater_equal,
    "<=": np.less_equal,
    ">": np.greater,
    "<": np.less,
}


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric's mean over seeds."""

    metric: str
    comparison: str
    bound: float

    def holds(self, values: Float[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
        """Return where values keep to it; a NaN never does."""
        return np.asarray(_COMPARISONS[self.comparison](values, self.bound))

    def __str__(self) -> str:
        """Return "accuracy >= 0.85"."""
        return f"{self.metric} {self.comparison} {self.bound:g}"


def parse_constraint(text: str, metrics: Iterable[str], fractions: Iterable[str]) -> Constraint:
    """Return what a text says.

    Args:
        text: as a person writes it.
        metrics: the names there are.
        fractions: which of them lie between 0 and 1 and may be given in percent.

    Raises:
        ConfigError: it is no such sentence, of no such metric, or 85 stands for 85 %.
    """
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"The constraint {text!r} is not of the form METRIC COMPARISON NUMBER with one of "
            f"{', '.join(_COMPARISONS)}: write, for example, 'accuracy >= 0.85' or "
            "'accuracy >= 85%'."
        )
    name, known, shares = found["metric"], list(metrics), set(fractions)
    if name not in known:
        raise ConfigError(
            f"The constraint {text!r} is about {name!r}, but the results have no such metric, "
            f"only {', '.join(known)}.{did_you_mean(name, known)}"
        )
    bound = float(found["number"])
    if found["percent"]:
        if name not in shares:
            raise ConfigError(f"The constraint {text!r}: {name} is no fraction; leave out the %.")
        bound /= 100
    elif name in shares and abs(bound) > 1:
        raise ConfigError(
            f"The constraint {text!r}: {name} is a fraction between 0 and 1; write "
            f"'{name} {found['comparison']} {bound:g}%' or {bound / 100:g}."
        )
    return Constraint(name, found["comparison"], bound)
