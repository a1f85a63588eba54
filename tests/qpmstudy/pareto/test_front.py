"""Fronts against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qpmstudy.errors import ConfigError
from qpmstudy.pareto import best_dominators, non_dominated
from qpmstudy.pareto.front import on_front_in_draws

# Few values, so that ties and equal points are common.
VALUE = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan])


@st.composite
def trials(draw: st.DrawFn) -> tuple[np.ndarray, list[bool]]:
    points, objectives = draw(st.integers(0, 12)), draw(st.integers(1, 4))
    values = draw(arrays(np.float64, (points, objectives), elements=VALUE))
    return values, draw(st.lists(st.booleans(), min_size=objectives, max_size=objectives))


def beats(left: np.ndarray, right: np.ndarray, maximise: list[bool]) -> bool:
    gains = [a - b if up else b - a for a, b, up in zip(left, right, maximise, strict=True)]
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)


@settings(max_examples=200, deadline=None)
@given(case=trials())
def test_the_front_is_what_nothing_beats(case: tuple[np.ndarray, list[bool]]) -> None:
    values, maximise = case
    wanted = [
        not np.isnan(point).any() and not any(beats(other, point, maximise) for other in values)
        for point in values
    ]
    assert non_dominated(values, maximise).tolist() == wanted


def test_equal_points_are_both_kept_and_infinite_ones_may_win() -> None:
    values = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, np.inf], [1.0, 1.0], [np.nan, 9.0]])
    assert non_dominated(values, [True, True]).tolist() == [True, True, True, False, False]
    assert non_dominated(values, [True, False]).tolist() == [False, False, False, True, False]


@settings(max_examples=100, deadline=None)
@given(case=trials())
def test_many_draws_at_once_have_the_fronts_of_each(case: tuple[np.ndarray, list[bool]]) -> None:
    values, _ = case
    everywhere = [True] * values.shape[1]
    draws = np.stack([values, values[::-1], -values])
    wanted = [non_dominated(points, everywhere).tolist() for points in draws]
    assert on_front_in_draws(draws).tolist() == wanted


@settings(max_examples=100, deadline=None)
@given(case=trials())
def test_who_beats_a_point_is_of_the_front_and_does_so_by_most(
    case: tuple[np.ndarray, list[bool]],
) -> None:
    values, maximise = case
    front = non_dominated(values, maximise)
    known = values[~np.isnan(values).any(1)]
    span = [np.ptp(column) or 1.0 for column in known.T] if len(known) else []
    for index, found in enumerate(best_dominators(values, maximise, front)):
        able = [i for i in np.flatnonzero(front) if beats(values[i], values[index], maximise)]
        assert (found >= 0) == bool(able)
        # what is neither on the front nor lacks a value is beaten by a point of the front
        assert bool(able) == (not front[index] and not np.isnan(values[index]).any())
        if able:
            gains = [(np.abs(values[i] - values[index]) / span).sum() for i in able]
            mine = (np.abs(values[found] - values[index]) / span).sum()
            assert found in able
            assert mine == pytest.approx(max(gains))


def test_directions_must_fit_the_objectives() -> None:
    with pytest.raises(ConfigError, match="2 objectives, but directions were given for 1"):
        non_dominated(np.zeros((3, 2)), [True])
