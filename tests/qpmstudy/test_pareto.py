"""Fronts and hypervolumes against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qpmstudy.errors import ConfigError
from qpmstudy.pareto import hypervolume, non_dominated

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


@settings(max_examples=200, deadline=None)
@given(case=trials().filter(lambda case: case[0].shape[1] == 2), at=st.tuples(VALUE, VALUE))
def test_the_hypervolume_counts_dominated_cells(
    case: tuple[np.ndarray, list[bool]], at: tuple[float, float]
) -> None:
    values, maximise = case
    centres = [
        (x, y)
        for x in np.arange(-0.5, 5)
        for y in np.arange(-0.5, 5)
        if beats(np.array([x, y]), np.array(at), maximise)
        and any(beats(point, np.array([x, y]), maximise) for point in values)
    ]
    assert hypervolume(values, at, maximise) == pytest.approx(len(centres))


@settings(max_examples=100, deadline=None)
@given(
    values=arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(0, 1))
)
def test_only_the_front_has_volume(values: np.ndarray) -> None:
    front = values[non_dominated(values, [True, True])]
    whole = hypervolume(values, (0.0, 0.0), [True, True])
    assert whole == pytest.approx(hypervolume(front, (0.0, 0.0), [True, True]), abs=1e-12)
    assert whole <= 1 + 1e-12


def test_a_known_hypervolume() -> None:
    values = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0], [2.0, 1.0]])
    assert hypervolume(values, (0.0, 0.0), [True, True]) == 6
    assert hypervolume(values, (4.0, 4.0), [False, False]) == 7
    assert hypervolume(values, (0.0, 4.0), [True, False]) == 9


def test_directions_must_fit_the_objectives() -> None:
    with pytest.raises(ConfigError, match="2 objectives, but directions were given for 1"):
        non_dominated(np.zeros((3, 2)), [True])
    with pytest.raises(ConfigError, match="2 objectives, but directions were given for 3"):
        hypervolume(np.zeros((3, 2)), (0.0, 0.0), [True, True, False])
