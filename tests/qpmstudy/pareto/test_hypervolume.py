"""Hypervolumes against cells that are counted, and against another library's."""

import itertools

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qpmstudy.errors import ConfigError
from qpmstudy.pareto import growth, hypervolume, hypervolumes, non_dominated

# Few values, so that ties and equal points are common.
VALUE = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan])


@st.composite
def tables(draw: st.DrawFn, most: int = 4) -> tuple[np.ndarray, list[float], list[bool]]:
    """Points with ties and NaN, a reference in their midst, and directions."""
    points, objectives = draw(st.integers(0, 10)), draw(st.integers(1, most))
    values = draw(arrays(np.float64, (points, objectives), elements=VALUE))
    reference = draw(st.lists(st.sampled_from([0.0, 1.0, 4.0]), min_size=objectives,
                              max_size=objectives))  # fmt: skip
    return (
        values,
        reference,
        draw(st.lists(st.booleans(), min_size=objectives, max_size=objectives)),
    )


@settings(max_examples=100, deadline=None)
@given(case=tables(most=3))
def test_it_counts_dominated_cells(case: tuple[np.ndarray, list[float], list[bool]]) -> None:
    values, reference, maximise = case
    signs = np.where(maximise, 1, -1)
    gains = signs * (values - reference)
    cells = itertools.product(np.arange(0.5, 5), repeat=len(reference))
    counted = sum(bool((gains > cell).all(1).any()) for cell in cells)
    assert hypervolume(values, reference, maximise) == pytest.approx(counted)


@pytest.mark.parametrize("objectives", [2, 3, 4])
@pytest.mark.parametrize("rounded", [False, True])
def test_it_is_what_moocore_computes(objectives: int, rounded: bool) -> None:
    random = np.random.default_rng(objectives)
    for _ in range(10):
        values = random.random((25, objectives))
        values = values.round(1) if rounded else values  # ties
        values[random.random(len(values)) < 0.1, 0] = np.nan
        maximise = (random.random(objectives) < 0.5).tolist()
        reference = np.where(maximise, 0.1, 0.9)
        known = values[~np.isnan(values).any(1)]
        wanted = moocore.hypervolume(known, reference, maximise=maximise)
        found = hypervolume(values, reference.tolist(), maximise)
        assert found == pytest.approx(wanted, rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(case=tables())
def test_only_the_front_has_volume(case: tuple[np.ndarray, list[float], list[bool]]) -> None:
    values, reference, maximise = case
    front = values[non_dominated(values, maximise)]
    whole = hypervolume(values, reference, maximise)
    assert whole == pytest.approx(hypervolume(front, reference, maximise), abs=1e-12)


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_many_draws_at_once_and_as_they_grow(objectives: int) -> None:
    draws = np.random.default_rng(0).normal(0.3, 1, (4, 9, objectives))
    draws[1, 3] = np.nan
    origin, up = [0.0] * objectives, [True] * objectives
    assert hypervolumes(draws) == pytest.approx(
        [hypervolume(points, origin, up) for points in draws]
    )
    counts = [1, 4, 5, 9]
    wanted = [[hypervolume(points[:n], origin, up) for n in counts] for points in draws]
    assert growth(draws, counts) == pytest.approx(np.array(wanted))
    assert (np.diff(growth(draws, counts), axis=1) >= 0).all()


def test_known_ones() -> None:
    values = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0], [2.0, 1.0]])
    assert hypervolume(values, (0.0, 0.0), [True, True]) == 6
    assert hypervolume(values, (4.0, 4.0), [False, False]) == 7
    assert hypervolume(values, (0.0, 4.0), [True, False]) == 9
    assert hypervolume(values[:, :1], (1.0,), [True]) == 2
    assert hypervolume(values[:1], (3.0, 0.0), [True, True]) == 0  # on the reference's edge
    assert hypervolume(values[:0], (0.0, 0.0), [True, True]) == 0


def test_directions_must_fit_the_objectives() -> None:
    with pytest.raises(ConfigError, match="2 objectives, but directions were given for 3"):
        hypervolume(np.zeros((3, 2)), (0.0, 0.0), [True, True, False])
