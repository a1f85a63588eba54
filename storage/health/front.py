"""Whether there is a front, how sure it is, and where it lies in the space."""

from collections.abc import Iterator, Sequence

import numpy as np

from storage.analysis import ParetoResult
from storage.health.base import FEW_SEEDS, Finding, counted, means_of, named

DOUBT = (0.05, 0.95)
"""Probabilities of being on the front between which that is open."""
FALL = 0.03
"""How much worse held-out figures of the front are, on average, before it is said."""


def missing_front_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield why there is no front, if there is none."""
    if not result.table.eligible.any():
        yield Finding("problem", "no configuration has all its seeds complete: there is no front")
    elif not result.front.on_front.any():
        bounds = " and ".join(map(str, result.constraints))
        because = f"keeps to {bounds}" if bounds else "has a number for every objective"
        yield Finding("problem", f"no configuration {because}: there is no front")


def doubt_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield for which configurations it is open whether they are on the front."""
    probability = result.front.probability
    low, high = DOUBT
    open_ones = np.flatnonzero((probability > low) & (probability < high)).tolist()
    if open_ones:
        names = named([f"{result.label(i)} ({probability[i]:.0%})" for i in open_ones])
        yield Finding(
            "warning",
            f"it is open whether {names} {'is' if len(open_ones) == 1 else 'are'} on the front: "
            + _remedy(result, open_ones),
        )


def _remedy(result: ParetoResult, open_ones: Sequence[int]) -> str:
    fewest = min(len(result.members[index].complete) for index in open_ones)
    if fewest >= FEW_SEEDS:
        return "more seeds would tell"
    return f"{counted(fewest, 'seed')} say{'s' * (fewest == 1)} little, more would tell"


def held_out_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield whether the front does worse on the images that took no part in its choice."""
    if result.split == "test":
        yield Finding("note", "searched on the test split: test figures are optimistic")
        return
    for name, way in result.objectives.items():
        other = f"test_{name}"
        if other not in result.table.metrics:
            continue
        sign = 1 if way == "max" else -1
        falls = sign * (means_of(result, name) - means_of(result, other))[result.front.on_front]
        fall = float(np.nanmean(falls)) if np.isfinite(falls).any() else 0.0
        if fall > FALL:
            yield Finding(
                "warning",
                f"on the test split the front is worse in {name} by {100 * fall:.1f} on average: "
                "part of what made it the front is chance",
            )


def mixed_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield whether figures of different images stand beside each other."""
    datasets = sorted({row["embeddings.dataset"] for m in result.members for row in m.complete})
    if len(datasets) > 1:
        yield Finding(
            "warning",
            f"configurations of several datasets stand in one front ({', '.join(datasets)}): "
            "figures of different images are no better or worse than each other",
        )
