"""The knee of a front, in two objectives by the distance from a line."""

import numpy as np
import pytest

from qpmstudy.pareto import knee_point, non_dominated


@pytest.mark.parametrize("seed", range(20))
def test_in_two_objectives_it_is_farthest_from_the_line_through_the_ends(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, maximise = random.random((12, 2)), [bool(seed % 2), bool(seed % 3)]
    front = non_dominated(values, maximise)
    points = values[front]
    scaled = (points - points.min(0)) / np.where(np.ptp(points, axis=0) > 0, np.ptp(points, 0), 1)
    scaled = np.where(maximise, scaled, 1 - scaled)
    a, b = scaled[scaled[:, 0].argmax()], scaled[scaled[:, 1].argmax()]
    distances = [(b[1] - a[1]) * (p[0] - a[0]) - (b[0] - a[0]) * (p[1] - a[1]) for p in scaled]
    found = knee_point(values, maximise, front)
    if len(points) == 1:
        assert found == np.flatnonzero(front)[0]
    elif max(distances) <= 1e-9:
        assert found is None
    else:
        assert found == np.flatnonzero(front)[int(np.argmax(distances))]


def test_fronts_without_one() -> None:
    straight = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    hollow = np.array([[0.0, 2.0], [0.5, 0.5], [2.0, 0.0]])
    for values in (straight, hollow, straight[:2], straight[:0]):
        assert knee_point(values, [True, True], non_dominated(values, [True, True])) is None


def test_a_front_of_one_point_or_of_equal_ones() -> None:
    values = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    assert knee_point(values, [True, True], non_dominated(values, [True, True])) == 1


def test_in_three_objectives_it_is_the_one_beyond_the_plane() -> None:
    values = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.5, 0.5, 0.5], [0.4, 0.4, 0.1]])
    assert knee_point(values, [True] * 3, non_dominated(values, [True] * 3)) == 3
    assert knee_point(-values, [False] * 3, non_dominated(-values, [False] * 3)) == 3
