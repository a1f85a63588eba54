"""Which configurations of a study to export: "knee", "best:METRIC", "front", or a trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qpmstudy.columns import needs_masks
from qpmstudy.datasets.base import SPLITS
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.pareto import knee_point
from storage.results import Row
from storage.study import StudySpec
from storage.summary import Configuration, summarise

PICKS = "knee, best:METRIC, front, or the number of a trial"


@dataclass(frozen=True)
class Pick:
    """A configuration to export, by what its best seed is found, and why it was taken."""

    trial: int
    metric: str
    direction: str
    why: str


def picked(rows: Sequence[Row], spec: StudySpec, picks: Sequence[str]) -> list[Pick]:
    """Return the configurations that `picks` mean, each once, in their order.

    Args:
        rows: all rows of the study.
        spec: the study.
        picks: as `PICKS` says; "best:METRIC:min" takes the smallest. Without a direction a metric
            has its objective's, or else "max".

    Raises:
        ConfigError: a pick means nothing here, or would choose by held-out images.
        DataError: no configuration has all its seeds yet, or none a value of every objective.
    """
    found: dict[int, Pick] = {}
    for pick in picks:
        for one in _meant(rows, spec, pick):
            found.setdefault(one.trial, one)
    return list(found.values())


def _meant(rows: Sequence[Row], spec: StudySpec, pick: str) -> list[Pick]:
    if pick.isdecimal():
        return [_numbered(rows, spec, int(pick))]
    metric, direction = next(iter(spec.objectives.items()))
    configurations = [c for c in summarise(rows, spec) if _finished(c, spec)]
    if not configurations:
        raise DataError(
            f"The study {spec.name!r} has no configuration with all {spec.seeds} seeds complete "
            f"yet. See: python cli.py study status {spec.name}"
        )
    if pick in ("front", "knee") and not any(c.on_front for c in configurations):
        raise DataError(_empty_front(configurations, spec))
    if pick == "front":
        why = f"on the front of {' and '.join(spec.objectives)}"
        return [Pick(c.trial, metric, direction, why) for c in configurations if c.on_front]
    if pick == "knee":
        return [Pick(_knee(configurations, spec), metric, direction, "the knee of the front")]
    if pick.startswith("best:"):
        return [_best(configurations, spec, pick.removeprefix("best:"))]
    raise ConfigError(f"--pick takes {PICKS}, not {pick!r}.")


def _numbered(rows: Sequence[Row], spec: StudySpec, trial: int) -> Pick:
    """Return the pick of a trial by the first objective that it has a value of, or by accuracy."""
    mine = [row for row in rows if row["trial"] == trial and row["status"] == "COMPLETE"]
    ways: dict[str, str] = {**spec.objectives}
    ways.setdefault("accuracy", "max")
    known = (name for name in ways if any(row[name] is not None for row in mine))
    metric = next(known, next(iter(ways)))
    return Pick(trial, metric, ways[metric], "asked for by its number")


def _finished(configuration: Configuration, spec: StudySpec) -> bool:
    ended = configuration.failed or configuration.stopped
    return configuration.complete >= spec.seeds.min and not ended


def _empty_front(configurations: Sequence[Configuration], spec: StudySpec) -> str:
    """Return why there is no front, and what else to export."""
    lacking = [
        name
        for name in spec.objectives
        if all(math.isnan(c.estimates[name].mean) for c in configurations)
    ]
    masks = " It needs object masks, and the dataset has none." * any(map(needs_masks, lacking))
    return (
        f"The front of {spec.name!r} is empty: no configuration has a value of "
        f"{' or '.join(lacking) or 'every objective'} in all its runs.{masks} Choose by what was "
        "measured: --pick best:accuracy, or the number of a trial."
    )


def _knee(configurations: Sequence[Configuration], spec: StudySpec) -> int:
    points = np.array(
        [[c.estimates[name].mean for name in spec.objectives] for c in configurations]
    )
    front = np.array([c.on_front for c in configurations])
    knee = knee_point(points, [way == "max" for way in spec.objectives.values()], front)
    if knee is None:
        trials = " ".join(f"--pick {c.trial}" for c in configurations if c.on_front)
        raise ConfigError(
            f"The front of {spec.name!r} has no knee: it has too few points, or is straight or "
            f"hollow, so that no point trades better than others. Choose yourself: {trials}"
        )
    return configurations[knee].trial


def _best(configurations: Sequence[Configuration], spec: StudySpec, wanted: str) -> Pick:
    metric, _, direction = wanted.partition(":")
    direction = direction or spec.objectives.get(metric, "max")
    known = sorted(configurations[0].estimates)
    if metric not in known:
        masks = " without object masks" if needs_masks(metric) else ""
        raise ConfigError(
            f"--pick best:{metric}: the study {spec.name!r} has no metric {metric!r}{masks}; it "
            f"has {', '.join(known)}."
        )
    if direction not in ("max", "min"):
        raise ConfigError(f"--pick best:{metric}: the direction is max or min, not {direction!r}.")
    held_out = metric.removeprefix("dense_").partition("_")[0]
    if spec.objective_split not in SPLITS and held_out in SPLITS[1:]:
        raise ConfigError(
            f"--pick best:{metric} would choose a model by images that are there to say how good "
            f"the chosen one is. Choose by the {spec.objective_split} split: "
            f"--pick best:{metric.replace(f'{held_out}_', '')}"
        )
    sign = 1 if direction == "max" else -1
    defined = [c for c in configurations if not math.isnan(c.estimates[metric].mean)]
    if not defined:
        raise ConfigError(f"--pick best:{metric}: no configuration has a value of {metric!r}.")
    best = max(defined, key=lambda c: (sign * c.estimates[metric].mean, -c.trial))
    extreme = "largest" if direction == "max" else "smallest"
    return Pick(best.trial, metric, direction, f"the {extreme} {metric} of the study")
