"""Non-dominated sets: n points, m objectives, each to be maximised or minimised."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from qpmstudy.errors import ConfigError


def non_dominated(
    values: Float[np.ndarray, "n m"], maximise: Sequence[bool]
) -> Bool[np.ndarray, " n"]:
    """Return which points no other point beats: as good in every objective, better in one.

    Equal points do not beat each other. A point with a NaN beats none and is never on the front.

    Raises:
        ConfigError: `maximise` does not say the direction of every objective.
    """
    points = to_maximise(values, maximise)
    on_front: np.ndarray = ~np.isnan(points).any(1)
    # good ones first: they rule out most of the others
    for index in np.argsort(-np.nan_to_num(points).sum(1), kind="stable"):
        if on_front[index]:
            behind = (points <= points[index]).all(1) & (points < points[index]).any(1)
            on_front &= ~behind
    return on_front


def on_front_in_draws(draws: Float[np.ndarray, "d n m"]) -> Bool[np.ndarray, "d n"]:
    """Return which points of each draw no other point of it beats; larger values are better."""
    if draws.shape[2] <= 2:
        return _sorted_fronts(draws[:, :, 0], draws[:, :, -1])
    mask = np.zeros(draws.shape[:2], dtype=bool)
    everywhere = [True] * draws.shape[2]
    for row, points in zip(mask, draws, strict=True):
        order = np.argsort(-points.sum(1))  # good ones first: they rule out most of the others
        row[order] = non_dominated(points[order], everywhere)
    return mask


def best_dominators(
    values: Float[np.ndarray, "n m"],
    maximise: Sequence[bool],
    on_front: Bool[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """Return which point of the front beats each point by most; -1 where none does.

    By most: summed over objectives, each in units of the range that all points span in it.
    """
    points = to_maximise(values, maximise)
    front = np.flatnonzero(on_front)
    found = np.full(len(points), -1)
    span = _span(points)
    for index, point in enumerate(points):
        gains = points[front] - point
        beats = (gains >= 0).all(1) & (gains > 0).any(1)
        if beats.any():
            found[index] = front[np.where(beats, (gains / span).sum(1), -np.inf).argmax()]
    return found


def to_maximise(
    values: Float[np.ndarray, "n m"], maximise: Sequence[bool]
) -> Float[np.ndarray, "n m"]:
    """Return the points with every objective to be maximised.

    Raises:
        ConfigError: `maximise` does not say the direction of every objective.
    """
    if len(maximise) != values.shape[1]:
        raise ConfigError(
            f"A point has {values.shape[1]} objectives, but directions were given for "
            f"{len(maximise)}; give one (maximise or not) for each."
        )
    return np.where(np.asarray(maximise, dtype=bool), values, -values)


def _span(points: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " m"]:
    known = points[~np.isnan(points).any(1)]
    if not len(known):
        return np.ones(points.shape[1])
    span = np.ptp(known, axis=0)
    wide: np.ndarray = np.where(span > 0, span, 1.0)
    return wide


def _sorted_fronts(
    first: Float[np.ndarray, "d n"], last: Float[np.ndarray, "d n"]
) -> Bool[np.ndarray, "d n"]:
    """Return the same for one or two objectives: best first, the front is the new records."""
    known = ~(np.isnan(first) | np.isnan(last))
    first, last = (np.where(known, values, -np.inf) for values in (first, last))
    order = np.lexsort((-last, -first))
    x, y = (np.take_along_axis(values, order, axis=1) for values in (first, last))
    record = np.ones(x.shape, dtype=bool)
    record[:, 1:] = y[:, 1:] > np.maximum.accumulate(y, axis=1)[:, :-1]
    for column in range(1, x.shape[1]):  # equal points do not beat each other
        same = (x[:, column] == x[:, column - 1]) & (y[:, column] == y[:, column - 1])
        record[:, column] |= same & record[:, column - 1]
    mask = np.empty_like(record)
    np.put_along_axis(mask, order, record, axis=1)
    mask &= known
    return mask
