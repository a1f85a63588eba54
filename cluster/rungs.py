"""Early stopping for several objectives: who goes on from a rung is decided by non-dominated rank.

Trials reach a rung one after another; each is compared with those that reached it before, by what
was measured there. It is stopped if the fronts better than its own alone fill the places there
are. So whole fronts go on: whatever is on the first front of a rung, and above all a trial that
dominates all others. Crowding, which orders equals, decides nothing: it would stop a part of a
front of which nobody knows yet what it ends in.

A decision depends on the set of those that have come, not on their order, and is never revised.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qpmstudy.pareto import non_dominated
from storage.study import StudySpec
from storage.study.stopping import EarlyStopping, Measures, Rung

Values = tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """What one seed of a trial is worth at a rung; a figure that is not known is missing or NaN."""

    trial: int
    seed: int
    rung: str  # Rung.label
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a trial at a rung."""

    trial: int
    rung: str
    stop: bool
    why: str  # the rule and the values in words


@dataclass
class Standing:
    """What is known of a trial at a rung: the values of its seeds, and what became of it."""

    seeds: dict[int, Values] = field(default_factory=dict)
    verdict: Verdict | None = None
    names: tuple[str, ...] = ()  # of the values

    @property
    def means(self) -> Values:
        """Return the mean over its seeds of each measure."""
        columns = zip(*(self.seeds[seed] for seed in sorted(self.seeds)), strict=True)
        return tuple(math.fsum(column) / len(column) for column in columns)


class Rungs:
    """The rungs of a study and who has come to them."""

    def __init__(self, rule: EarlyStopping, objectives: Measures, seeds: int) -> None:
        """`seeds` is how many of each trial are waited for: those it has at first."""
        self._rule, self._seeds = rule, seeds
        self._rungs = {rung.label: rung for rung in rule.rungs}
        self._measures = {rung.label: rung.measures(objectives) for rung in rule.rungs}
        self.standings: dict[str, dict[int, Standing]] = {label: {} for label in self._rungs}

    @classmethod
    def of(cls, spec: StudySpec) -> "Rungs | None":
        """Return the rungs of a study that has any."""
        rule = spec.early_stopping
        return cls(rule, spec.objectives, spec.seeds.min) if rule else None

    def remember(self, trial: int, label: str, standing: Standing) -> None:
        """Enter what an earlier launch knew; a study may have other rungs or measures by now."""
        if standing.names == tuple(self._measures.get(label, ())):
            self.standings[label][trial] = standing

    def knows(self, trial: int, seed: int, label: str) -> bool:
        """Return whether a seed has been entered at a rung."""
        return seed in self.standings[label].get(trial, Standing()).seeds

    def reached(self, report: Report, may_stop: bool = True) -> Verdict | None:
        """Enter what one seed of a trial is worth; return the verdict once all first seeds are in.

        A seed beyond the first ones, one without a finite figure for each measure, and what has
        been entered before decide nothing: None. A trial that may not be stopped is one the
        others are compared with.
        """
        known = self.standings[report.rung]
        values = self._values(report)
        standing = known.get(report.trial, Standing(names=tuple(self._measures[report.rung])))
        if report.seed >= self._seeds or report.seed in standing.seeds or values is None:
            return None
        known[report.trial] = standing
        standing.seeds[report.seed] = values
        if len(standing.seeds) < self._seeds or standing.verdict:
            return None
        arrived = [
            other.means
            for other in known.values()
            if other is standing or other.verdict  # the others lack seeds still
        ]
        standing.verdict = self._judge(report, standing.means, arrived, may_stop)
        return standing.verdict

    def _values(self, report: Report) -> Values | None:
        found = [report.figures.get(name) for name in self._measures[report.rung]]
        values = tuple(math.nan if value is None else float(value) for value in found)
        return values if all(map(math.isfinite, values)) else None

    def _judge(
        self, report: Report, mine: Values, arrived: Sequence[Values], may_stop: bool
    ) -> Verdict:
        measures = self._measures[report.rung]
        places = math.ceil(self._rule.keep * len(arrived))
        better = on_better_fronts(mine, arrived, [way == "max" for way in measures.values()])
        stop = may_stop and len(arrived) >= self._rule.min_reached and better >= places
        worth = ", ".join(f"{name} {v:.4g}" for name, v in zip(measures, mine, strict=True))
        why = (
            f"{worth} (mean of {self._seeds} seeds); of {len(arrived)} trials that reached it "
            f"{better} are on better fronts, and keep {self._rule.keep:g} has {places} places"
        )
        return Verdict(report.trial, report.rung, stop, why)


def on_better_fronts(mine: Values, points: Sequence[Values], maximise: Sequence[bool]) -> int:
    """Return how many of `points`, of which `mine` is one, are on better fronts than it is."""
    left, point = np.array(points), np.array(mine)
    better = 0
    while True:
        front = non_dominated(left, maximise)
        if (left[front] == point).all(1).any():
            return better
        better += int(front.sum())
        left = left[~front]


def rung_at(rule: EarlyStopping | None, stage: str, epoch: int | None = None) -> Rung | None:
    """Return the rung after a stage or one of its epochs, if there is one."""
    label = stage if epoch is None else f"{stage}@{epoch}"
    rungs = rule.rungs if rule else ()
    return next((rung for rung in rungs if rung.label == label), None)
