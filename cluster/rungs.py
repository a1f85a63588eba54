"""Early stopping for several objectives: who goes on from a rung is decided by non-dominated rank.

Trials reach a rung one after another; each is compared with those that came before it. It is
stopped if the fronts better than its own alone fill the places there are. So whatever is on the
first front of a rung goes on, and above all a trial that dominates all others.

A decision depends on the set of those that have come, not on their order, and is never revised.
To survive a restart, keep the reports in their order and enter them again.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from qpmstudy.pareto import non_dominated
from storage.study import StudySpec
from storage.study.stopping import Rung


@dataclass(frozen=True)
class Report:
    """What a trial is worth at a rung: means over its first seeds, in the order of the measures."""

    trial: int
    rung: str  # Rung.label
    values: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a trial; `report` is to be recorded before anything is done about it."""

    report: Report
    stop: bool


class Rungs:
    """The rungs of a study and who has come to them."""

    def __init__(self, spec: StudySpec, reports: Iterable[Report] = ()) -> None:
        """`reports` are those of earlier launches, in their order."""
        assert spec.stop is not None
        self._stop, self._seeds = spec.stop, spec.seeds.min
        self._objectives = spec.objectives
        self._rungs = {rung.label: rung for rung in spec.stop.rungs}
        self._arrived: dict[str, dict[int, tuple[float, ...]]] = {r: {} for r in self._rungs}
        self._partial: dict[tuple[int, str], dict[int, tuple[float, ...]]] = {}
        self.stopped: set[int] = set()
        for report in reports:
            if report.rung in self._rungs:  # a file may name fewer by now
                self._judge(report)

    def rung(self, stage: str, epoch: int | None = None) -> Rung | None:
        """Return the rung at the end of a stage or of one of its epochs, if there is one."""
        return self._rungs.get(stage if epoch is None else f"{stage}@{epoch}")

    def passed(
        self, trial: int, seed: int, rung: Rung, figures: Mapping[str, float | None]
    ) -> Verdict | None:
        """Enter what one seed of a trial is worth; return the verdict once all first seeds are in.

        A seed beyond the first ones, or one without a finite figure for each measure, decides
        nothing: None. What has been judged before gets the same verdict.
        """
        earlier = self._arrived[rung.label].get(trial)
        if earlier is not None:
            return Verdict(Report(trial, rung.label, earlier), trial in self.stopped)
        found = [figures.get(name) for name in rung.measures(self._objectives)]
        values = tuple(math.nan if value is None else float(value) for value in found)
        if seed >= self._seeds or not all(map(math.isfinite, values)):
            return None
        seeds = self._partial.setdefault((trial, rung.label), {})
        seeds[seed] = values
        if len(seeds) < self._seeds:
            return None
        del self._partial[trial, rung.label]
        ordered = [seeds[index] for index in range(self._seeds)]
        means = tuple(math.fsum(column) / len(column) for column in zip(*ordered, strict=True))
        report = Report(trial, rung.label, means)
        return Verdict(report, self._judge(report))

    def _judge(self, report: Report) -> bool:
        arrived = self._arrived[report.rung]
        arrived[report.trial] = report.values
        places = math.ceil(self._stop.keep * len(arrived))
        stop = len(arrived) >= self._stop.least and self._better(report) >= places
        if stop:
            self.stopped.add(report.trial)
        return stop

    def _better(self, report: Report) -> int:
        """Return how many trials are on better fronts of the rung than this one."""
        measures = self._rungs[report.rung].measures(self._objectives)
        upward = [way == "max" for way in measures.values()]
        points = np.array([*self._arrived[report.rung].values()])
        mine = np.array(report.values)
        better = 0
        while True:
            front = non_dominated(points, upward)
            if (points[front] == mine).all(1).any():
                return better
            better += int(front.sum())
            points = points[~front]
