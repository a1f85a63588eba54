"""The hypervolume indicator: how much of the space a set of points dominates; exact.

Two objectives are swept, more are sliced along the last one (HSO; While et al., "A faster
algorithm for calculating hypervolume", 2006): fine for the tens of points a front has.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from qpmstudy.pareto.front import non_dominated, to_maximise


def hypervolume(
    values: Float[np.ndarray, "n m"], reference: Sequence[float], maximise: Sequence[bool]
) -> float:
    """Return the volume that the points dominate and that dominates `reference`.

    Points with a NaN, or no better than the reference in one objective, add nothing.

    Raises:
        ConfigError: `maximise` or `reference` does not have every objective.
    """
    at = to_maximise(np.array([reference], dtype=float), maximise)
    return _volume(np.nan_to_num(to_maximise(values, maximise) - at, nan=0.0))


def hypervolumes(draws: Float[np.ndarray, "d n m"]) -> Float[np.ndarray, " d"]:
    """Return the hypervolume of each draw over the origin; larger values are better."""
    gains = np.nan_to_num(draws, nan=0.0)
    if draws.shape[2] <= 2:
        return _Sweep(gains).areas(np.ones(draws.shape[1], dtype=bool))
    return np.array([_volume(points) for points in gains])


def growth(draws: Float[np.ndarray, "d n m"], steps: Sequence[int]) -> Float[np.ndarray, "d t"]:
    """Return the hypervolume of each draw's first points over the origin, for t counts of them."""
    gains = np.nan_to_num(draws, nan=0.0)
    if draws.shape[2] > 2:
        return np.array([[_volume(points[:count]) for count in steps] for points in gains])
    sweep, place = _Sweep(gains), np.arange(draws.shape[1])
    return np.stack([sweep.areas(place < count) for count in steps], axis=1)


class _Sweep:
    """Areas under one or two objectives (d, n, m): sorted once, whichever points take part."""

    def __init__(self, gains: np.ndarray) -> None:
        x, y = (
            gains[:, :, 0],
            gains[:, :, -1] if gains.shape[2] == 2 else np.ones_like(gains[..., 0]),
        )
        y = np.where(x > 0, y, 0).clip(0)
        self._order = np.argsort(-x, axis=1, kind="stable")
        self._x, self._y = (np.take_along_axis(part, self._order, axis=1) for part in (x, y))

    def areas(self, taking_part: np.ndarray) -> np.ndarray:
        """Return the area (d) of the points (n) that take part."""
        if not self._x.shape[1]:
            return np.zeros(len(self._x))
        heights = np.maximum.accumulate(np.where(taking_part[self._order], self._y, 0), axis=1)
        rises = np.diff(heights, axis=1, prepend=0)
        area: np.ndarray = (self._x * rises).sum(1)
        return area


def _volume(gains: np.ndarray) -> float:
    """Return the volume of points (n, m) over the origin."""
    gains = gains[(gains > 0).all(1)]
    if not len(gains):
        return 0.0
    if gains.shape[1] <= 2:
        return float(_Sweep(gains[None]).areas(np.ones(len(gains), dtype=bool))[0])
    gains = gains[non_dominated(gains, [True] * gains.shape[1])]
    gains = gains[np.argsort(-gains[:, -1], kind="stable")]
    depths = gains[:, -1] - np.append(gains[1:, -1], 0)
    return float(
        sum(
            depth * _volume(gains[: count + 1, :-1])
            for count, depth in enumerate(depths)
            if depth > 0
        )
    )
