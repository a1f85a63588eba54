"""One table of values to everything that is known of its front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from qpmstudy.pareto.bootstrap import drawn_means, means_over_seeds
from qpmstudy.pareto.constraints import Constraint
from qpmstudy.pareto.front import best_dominators, non_dominated, on_front_in_draws, to_maximise
from qpmstudy.pareto.hypervolume import growth, hypervolume, hypervolumes
from qpmstudy.pareto.knee import knee_point

DRAWS = 2000
FEW_DRAWS = 200
"""Of studies with thousands of configurations; hypervolumes of three objectives and more, too,
which are not computed side by side."""
MANY = 500
"""Configurations from which on there are fewer draws."""
STEPS = 60
SLICED_STEPS = 20
"""Points of the curve of growth, at most; of three objectives and more."""
BAND = (0.05, 0.95)
"""Quantiles of the draws between which a band lies."""


@dataclass(frozen=True)
class SeedTable:
    """Values of n configurations, s seeds and some metrics; NaN where a run has none.

    Attributes:
        metrics: names of the last axis.
        values: the values.
        done: which seeds of a configuration are complete.
        eligible: which configurations may be on the front: enough seeds, and none failed.
        ranges: between what each metric can lie; None: anywhere.
    """

    metrics: tuple[str, ...]
    values: Float[np.ndarray, "n s M"]
    done: Bool[np.ndarray, "n s"]
    eligible: Bool[np.ndarray, " n"]
    ranges: tuple[tuple[float, float], ...] | None = None

    def columns(self, names: Sequence[str]) -> list[int]:
        """Return where metrics stand."""
        return [self.metrics.index(name) for name in names]


@dataclass(frozen=True)
class Growth:
    """Hypervolume after the first configurations that were finished, with its band.

    Attributes:
        counts: how many configurations, t times.
        values: of their means.
        low: the lower end of the band.
        high: the upper end.
    """

    counts: Int[np.ndarray, " t"]
    values: Float[np.ndarray, " t"]
    low: Float[np.ndarray, " t"]
    high: Float[np.ndarray, " t"]


@dataclass(frozen=True)
class FrontAnalysis:
    """What is known of the front of n configurations in m objectives.

    Attributes:
        objectives: whether each is to be maximised, by name.
        reference: the point that hypervolumes are measured from.
        means: over seeds; NaN where a complete run lacks the metric.
        feasible: which keep to every constraint with their means.
        on_front: of those that are eligible and feasible.
        probability: of being on the front, over draws; 0 where not eligible.
        knee: index of the knee; None where the front has none.
        dominated_by: index of the configuration of the front that beats each by most; -1: none.
        dominated_share: in which share of the draws it does.
        hypervolume: of the means.
        band: of the hypervolume.
        growth: of the hypervolume, in the order in which configurations were finished.
    """

    objectives: Mapping[str, bool]
    reference: tuple[float, ...]
    means: Float[np.ndarray, "n m"]
    feasible: Bool[np.ndarray, " n"]
    on_front: Bool[np.ndarray, " n"]
    probability: Float[np.ndarray, " n"]
    knee: int | None
    dominated_by: Int[np.ndarray, " n"]
    dominated_share: Float[np.ndarray, " n"]
    hypervolume: float
    band: tuple[float, float]
    growth: Growth


def analyse(
    table: SeedTable,
    objectives: Mapping[str, bool],
    reference: Sequence[float],
    order: Sequence[int],
    constraints: Sequence[Constraint] = (),
) -> FrontAnalysis:
    """Return the front of a table, and how sure it is.

    The same table gives the same numbers. A constraint is held against a draw's
    means, too: near the bound a configuration is on the front in some draws only.

    Args:
        table: the values.
        objectives: whether each metric is to be maximised, by name.
        reference: the point that hypervolumes are measured from, one value an objective.
        order: indices of configurations, the first finished first; others do not grow the front.
        constraints: what a configuration must keep to.

    Raises:
        ConfigError: the reference does not have every objective.
        ValueError: the table lacks a metric.
    """
    names, maximise = list(objectives), list(objectives.values())
    columns = table.columns([*names, *(constraint.metric for constraint in constraints)])
    values, count = table.values[:, :, columns], len(names)
    everything = means_over_seeds(values, table.done)
    means, feasible = everything[:, :count], _feasible(everything[:, count:], constraints)
    eligible = np.where(table.eligible[:, None], means, np.nan)
    points = np.where(feasible[:, None], eligible, np.nan)
    on_front = non_dominated(points, maximise)
    ranges = None if table.ranges is None else [table.ranges[column] for column in columns]
    drawn = drawn_means(values, table.done, _size(table), ranges=ranges)
    better = _better(drawn, table, maximise, constraints)
    above = better - _zero(reference, maximise)
    above = above if count <= 2 else above[:FEW_DRAWS]
    dominated_by = best_dominators(eligible, maximise, on_front)
    low, high = np.quantile(hypervolumes(above), BAND)
    return FrontAnalysis(
        objectives=dict(objectives),
        reference=tuple(map(float, reference)),
        means=means,
        feasible=feasible,
        on_front=on_front,
        probability=on_front_in_draws(better).mean(0),
        knee=knee_point(points, maximise, on_front),
        dominated_by=dominated_by,
        dominated_share=_dominated_share(better, dominated_by),
        hypervolume=hypervolume(points, reference, maximise),
        band=(float(low), float(high)),
        growth=_growth(points, above, reference, maximise, order),
    )


def _feasible(bounded: np.ndarray, constraints: Sequence[Constraint]) -> np.ndarray:
    """Return which configurations keep to all constraints; the last axis has their metrics."""
    kept = np.ones(bounded.shape[:-1], dtype=bool)
    for index, constraint in enumerate(constraints):
        kept &= constraint.holds(bounded[..., index])
    return kept


def _size(table: SeedTable) -> int:
    return DRAWS if len(table.values) <= MANY else FEW_DRAWS


def _better(
    draws: np.ndarray,
    table: SeedTable,
    maximise: Sequence[bool],
    constraints: Sequence[Constraint],
) -> np.ndarray:
    """Return draws (d, n, m), larger being better; NaN for what may not be on the front."""
    count = len(maximise)
    kept = _feasible(draws[:, :, count:], constraints) & table.eligible
    better = np.where(np.asarray(maximise, dtype=bool), draws[:, :, :count], -draws[:, :, :count])
    return np.where(kept[:, :, None], better, np.nan)


def _dominated_share(better: np.ndarray, dominated_by: np.ndarray) -> np.ndarray:
    other = better[:, dominated_by]  # of -1 some point; left out below
    with np.errstate(invalid="ignore"):
        beats = (other >= better).all(2) & (other > better).any(2)
    share: np.ndarray = np.where(dominated_by >= 0, beats.mean(0), 0.0)
    return share


def _growth(
    points: np.ndarray,
    above: np.ndarray,
    reference: Sequence[float],
    maximise: Sequence[bool],
    order: Sequence[int],
) -> Growth:
    total, most = len(order), STEPS if len(maximise) <= 2 else SLICED_STEPS
    counts = np.unique(np.linspace(1, total, min(total, most)).round().astype(int))
    if not total:
        return Growth(counts, np.empty(0), np.empty(0), np.empty(0))
    gains = to_maximise(points, maximise) - _zero(reference, maximise)
    (values,) = growth(gains[None, list(order)], counts.tolist())
    low, high = np.quantile(growth(above[:, list(order)], counts.tolist()), BAND, axis=0)
    return Growth(counts, values, low, high)


def _zero(reference: Sequence[float], maximise: Sequence[bool]) -> np.ndarray:
    return to_maximise(np.array([reference], dtype=float), maximise)
