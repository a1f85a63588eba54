"""What a check gives, and what checks share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from storage.analysis import ParetoResult
from storage.summary import estimate

NAMED = 6
"""Trials that are named; of more only the number is given."""

FEW_SEEDS = 3
"""Fewer say next to nothing about the spread."""

Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One sentence about results.

    Attributes:
        level: "problem": runs are lost or wrong; "warning": the answer may be another; "note".
        text: the sentence, without a full stop.
    """

    level: Level
    text: str


def means_of(result: ParetoResult, metric: str) -> np.ndarray:
    """Return means (n) of a metric over complete seeds; NaN where a configuration is not whole."""
    found = [
        estimate([row.get(metric) for row in member.complete]).mean if member.eligible else math.nan
        for member in result.members
    ]
    return np.array(found, dtype=float)


def named(names: Sequence[str]) -> str:
    """Return names as an enumeration, the first ones alone if there are many."""
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(count: int, word: str) -> str:
    """Return "1 run" or "3 runs"."""
    return f"{count} {word}" + "s" * (count != 1)
