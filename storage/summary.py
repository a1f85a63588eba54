"""From rows to configurations: means over seeds, their uncertainty, and the Pareto front."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qpmstudy.columns import shown_mean
from qpmstudy.pareto import non_dominated
from storage.results import Row, by_trial
from storage.study import StudySpec
from storage.study.space import settings, values_in


@dataclass(frozen=True)
class Estimate:
    """A metric of one configuration over its seeds."""

    mean: float
    standard_error: float  # NaN for a single seed

    def shown(self, metric: str) -> str:
        """Return it as people read the values of that metric: "71.2 ±0.8"."""
        return shown_mean(metric, self.mean, self.standard_error)


@dataclass(frozen=True)
class Configuration:
    """One trial: what it set, how its seeds ended, what it is worth."""

    trial: int
    searched: Mapping[str, Any]  # by parameter name
    complete: int
    failed: int
    estimates: Mapping[str, Estimate]
    on_front: bool
    errors: tuple[str, ...]
    stopped: int = 0
    """Seeds that ended early, since the trial was behind others at a rung."""
    stops: tuple[str, ...] = ()
    """At which rung, and why."""


def estimate(values: Sequence[float | None]) -> Estimate:
    """Return mean and standard error; a missing value makes the mean NaN."""
    numbers = [value for value in values if value is not None]
    count = len(numbers)
    if not count or count < len(values):
        return Estimate(math.nan, math.nan)
    mean = math.fsum(numbers) / count
    if count < 2 or math.isnan(mean):
        return Estimate(mean, math.nan)
    # not statistics.stdev: its fractions take ten times as long, and there are many metrics
    deviation = math.dist(numbers, [mean] * count)
    return Estimate(mean, deviation / math.sqrt(count * (count - 1)))


def summarise(
    rows: Sequence[Row], spec: StudySpec, metrics: Collection[str] | None = None
) -> list[Configuration]:
    """Return every configuration with a row, by trial number.

    A configuration can be on the front once its seeds, the first ones at least, are complete.

    Args:
        rows: of the study.
        spec: the study.
        metrics: those that are wanted besides the objectives; None: all there are.
    """
    others = [name for name in _metric_names(rows) if metrics is None or name in metrics]
    names = tuple(dict.fromkeys((*spec.objectives, *others)))
    found = []
    for trial, mine in sorted(by_trial(rows).items()):
        good = [row for row in mine if row["status"] == "COMPLETE"]
        stopped = [row for row in mine if row["status"] == "STOPPED"]
        found.append(
            Configuration(
                trial=trial,
                searched=searched_values(mine[0], spec),
                complete=len(good),
                failed=sum(row["status"] == "FAIL" for row in mine),
                estimates={name: estimate([row[name] for row in good]) for name in names},
                on_front=False,
                errors=tuple(sorted({row["error"] for row in mine if row["error"]})),
                stopped=len(stopped),
                stops=tuple(
                    sorted({f"{row['stopped_at']}: {row['stopped_because']}" for row in stopped})
                ),
            )
        )
    eligible = [c for c in found if c.complete >= spec.seeds.min and not (c.failed or c.stopped)]
    if not eligible:
        return found
    points = np.array([[c.estimates[name].mean for name in spec.objectives] for c in eligible])
    front = non_dominated(points, [way == "max" for way in spec.objectives.values()])
    best = {c.trial for c, chosen in zip(eligible, front, strict=True) if chosen}
    return [replace(c, on_front=c.trial in best) for c in found]


def searched_values(row: Row, spec: StudySpec) -> dict[str, Any]:
    """Return what a row's configuration has for each parameter of the space, "-" for none."""
    found = values_in(spec.parameters, row)
    return {parameter.name: found.get(parameter.name, "-") for parameter in spec.parameters}


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path ("l1_fm"), or the whole path where two share it."""
    last = [path.rpartition(".")[2] for path in paths]
    return [leaf if last.count(leaf) == 1 else path for leaf, path in zip(last, paths, strict=True)]


def apart(name: str, taken: Collection[str]) -> str:
    """Return a parameter's name for a table, "space.NAME" where another column is called so."""
    return f"space.{name}" if name in taken else name


def belongs(row: Row, spec: StudySpec, chosen: Mapping[str, Any]) -> bool:
    """Return whether a row is of the configuration that the ledger chose for its trial."""
    return all(row[path] == value for path, value in settings(spec.parameters, chosen).items())


def _metric_names(rows: Sequence[Row]) -> list[str]:
    config = {"seed", "trial", "committed"}
    return [
        name
        for name, value in (rows[0] if rows else {}).items()
        if "." not in name and name not in config and _numeric(rows, name)
    ]


def _numeric(rows: Sequence[Row], name: str) -> bool:
    return any(isinstance(row[name], float) for row in rows)
