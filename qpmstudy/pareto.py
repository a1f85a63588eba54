"""Pareto fronts of trials: n points, m objectives, each to be maximised or minimised."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from qpmstudy.errors import ConfigError


def non_dominated(
    values: Float[np.ndarray, "n m"], maximise: Sequence[bool]
) -> Bool[np.ndarray, " n"]:
    """Return which points no other point beats: as good in every objective, better in one.

    Equal points do not beat each other. A point with a NaN beats none and is never on the front.

    Raises:
        ConfigError: `maximise` does not say the direction of every objective.
    """
    points = _to_maximise(values, maximise)
    on_front: np.ndarray = ~np.isnan(points).any(1)
    for index in np.flatnonzero(on_front):
        if on_front[index]:
            behind = (points <= points[index]).all(1) & (points < points[index]).any(1)
            on_front &= ~behind
    return on_front


def hypervolume_2d(
    values: Float[np.ndarray, "n 2"],
    reference: tuple[float, float],
    maximise: Sequence[bool],
) -> float:
    """Return the area that the points dominate and that dominates `reference`; exact.

    Points with a NaN, or no better than the reference in one objective, add nothing.

    Raises:
        ConfigError: `maximise` does not have two directions.
    """
    points = _to_maximise(values, maximise) - _to_maximise(np.array([reference]), maximise)
    points = points[(points > 0).all(1)]  # NaN > 0 is false
    area, height = 0.0, 0.0
    for x, y in points[np.lexsort((points[:, 1], points[:, 0]))[::-1]]:
        if y > height:
            area += x * (y - height)
            height = y
    return float(area)


def _to_maximise(
    values: Float[np.ndarray, "n m"], maximise: Sequence[bool]
) -> Float[np.ndarray, "n m"]:
    if len(maximise) != values.shape[1]:
        raise ConfigError(
            f"A point has {values.shape[1]} objectives, but directions were given for "
            f"{len(maximise)}; give one (maximise or not) for each."
        )
    return np.where(np.asarray(maximise, dtype=bool), values, -values)
