"""What means over seeds might have been."""

import numpy as np
import pytest

from qpmstudy.pareto import drawn_means


def table(n: int, s: int, m: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, s, m))


def test_draws_are_weighted_means_one_by_one() -> None:
    values, done = table(4, 5, 2), np.ones((4, 5), dtype=bool)
    done[1, 3:] = False
    done[2, 0] = False
    done[3, 1:] = False  # a single seed
    drawn = drawn_means(values, done, draws=20, seed=3)
    weights = np.random.default_rng(3).standard_exponential((20, 5))
    for d in range(20):
        for n in range(4):
            mine = np.flatnonzero(done[n])
            shares = weights[d, mine] / weights[d, mine].sum()
            mean = values[n, mine].mean(0)
            wider = np.sqrt((len(mine) + 1) / (len(mine) - 1)) if len(mine) > 1 else 0.0
            wanted = mean + wider * (shares @ values[n, mine] - mean)
            assert drawn[d, n] == pytest.approx(wanted)


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_spread_is_the_standard_error(seeds: int) -> None:
    values = table(6, seeds, 2)
    drawn = drawn_means(values, np.ones((6, seeds), dtype=bool), draws=20_000)
    assert drawn.mean(0) == pytest.approx(values.mean(1), abs=0.02)
    error = values.std(1, ddof=1) / np.sqrt(seeds)
    assert drawn.std(0) == pytest.approx(error, rel=0.03)


def test_draws_keep_to_what_a_metric_can_be_and_ties_there_are_exact() -> None:
    values = np.array([[[1.0], [1.0]], [[1.0], [0.96]]])  # of two configurations
    done = np.ones((2, 2), dtype=bool)
    assert drawn_means(values, done, draws=500).max() > 1.01
    held = drawn_means(values, done, draws=500, ranges=[(0.0, 1.0)])
    assert (held[:, 0] == 1).all()
    assert held[:, 1].max() == 1
    assert held[:, 1].mean() == pytest.approx(0.98, abs=0.005)


def test_what_differs_by_the_same_in_every_seed_never_changes_places() -> None:
    one = table(1, 3, 1)
    values = np.concatenate([one, one + 0.001])
    drawn = drawn_means(values, np.ones((2, 3), dtype=bool), draws=500)
    assert (drawn[:, 1] > drawn[:, 0]).all()
    assert drawn[:, 0].std() > 0.01  # though each is far less sure than the difference


def test_what_has_not_run_takes_no_part_and_what_lacks_a_value_has_none() -> None:
    values = table(4, 3, 2)
    done = np.ones((4, 3), dtype=bool)
    done[0, 2] = False
    values[0, 2] = np.nan  # has not run
    values[1, 1, 0] = np.nan  # ran, and has no such metric
    done[2] = False
    drawn = drawn_means(values, done, draws=10)
    assert np.isfinite(drawn[:, 0]).all()
    assert np.isnan(drawn[:, 1, 0]).all()
    assert np.isfinite(drawn[:, 1, 1]).all()
    assert np.isnan(drawn[:, 2]).all()


def test_the_same_seed_gives_the_same_draws() -> None:
    values, done = table(3, 3, 2), np.ones((3, 3), dtype=bool)
    first, second = (drawn_means(values, done, 50, seed=1) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, drawn_means(values, done, 50, seed=2))
