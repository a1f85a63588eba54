"""A table of values to everything about its front, against loops over draws."""

import numpy as np
import pytest

from qpmstudy.pareto import SeedTable, analyse, drawn_means, hypervolume, non_dominated
from qpmstudy.pareto import parse_constraint as parse
from qpmstudy.pareto.analysis import DRAWS, FEW_DRAWS

METRICS = ("a", "b", "c", "d")


def table(n: int = 8, s: int = 3, seed: int = 0) -> SeedTable:
    values = np.random.default_rng(seed).random((n, 1, 4)) + np.random.default_rng(seed + 1).normal(
        0, 0.1, (n, s, 4)
    )
    return SeedTable(METRICS, values, np.ones((n, s), bool), np.ones(n, bool))


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_probability_and_band_are_shares_of_the_draws(objectives: int) -> None:
    made = table(seed=objectives)
    made.values[2, 1, 0] = np.nan
    made.values[3] = made.values[4]  # equal ones
    directions = dict(zip(METRICS, [True, False, True, False][:objectives], strict=False))
    maximise, reference = list(directions.values()), [0.0, 1.0, 0.0, 1.0][:objectives]
    found = analyse(made, directions, reference, order=range(8))
    draws = drawn_means(made.values[:, :, :objectives], made.done, DRAWS)
    fronts = [non_dominated(points, maximise) for points in draws]
    assert found.probability == pytest.approx(np.mean(fronts, axis=0))
    assert found.probability[2] == 0
    assert found.probability[3] == found.probability[4]
    several = draws if objectives <= 2 else draws[:FEW_DRAWS]
    volumes = [hypervolume(points, reference, maximise) for points in several]
    assert found.band == pytest.approx(np.quantile(volumes, [0.05, 0.95]))
    means = made.values[:, :, :objectives].mean(1)
    assert found.means == pytest.approx(means, nan_ok=True)
    assert found.on_front.tolist() == non_dominated(means, maximise).tolist()
    assert found.hypervolume == pytest.approx(hypervolume(means, reference, maximise))
    assert found.growth.counts.tolist() == list(range(1, 9))
    assert found.growth.values[-1] == pytest.approx(found.hypervolume)
    assert found.growth.low[-1] == pytest.approx(found.band[0])
    assert found.growth.high[-1] == pytest.approx(found.band[1])


def test_growth_follows_the_order() -> None:
    made = table()
    order = [5, 1, 7]
    found = analyse(made, {"a": True, "b": True}, (0.0, 0.0), order)
    means = made.values[:, :, :2].mean(1)
    wanted = [hypervolume(means[order[:n]], (0.0, 0.0), [True, True]) for n in (1, 2, 3)]
    assert found.growth.values == pytest.approx(wanted)


def test_constraints_leave_out_and_hold_in_the_draws() -> None:
    made = table(n=4)
    made.values[:, :, 0] = np.array([0.9, 0.8, 0.5, 0.1])[:, None]
    made.values[:, :, 1] = np.array([0.1, 0.2, 0.5, 0.9])[:, None]
    made.values[:, :, 2] = np.array([[0.1, 0.1, 0.1], [0.3, 0.5, 0.7], [0.9] * 3, [0.6] * 3])
    found = analyse(made, {"a": True, "b": True}, (0.0, 0.0), range(4), [parse("c > 0.5", "c", "")])
    assert found.feasible.tolist() == [False, False, True, True]
    assert found.on_front.tolist() == [False, False, True, True]
    assert found.probability[[0, 2, 3]].tolist() == [0, 1, 1]
    assert 0.3 < found.probability[1] < 0.7  # its mean is on the bound
    assert found.dominated_by.tolist() == [-1] * 4
    none = analyse(made, {"a": True, "b": True}, (0.0, 0.0), range(4), [parse("c > 0.99", "c", "")])
    assert not none.on_front.any()
    assert (none.knee, none.hypervolume, none.band) == (None, 0, (0, 0))


def test_dominated_by_whom_and_how_surely() -> None:
    made = table(n=3)
    made.values[0, :, :2] = 0.9
    made.values[1, :, :2] = 0.5
    made.values[2, :, :2] = [[0.95, 0.7], [0.85, 0.7], [0.87, 0.7]]  # near, and less sure
    found = analyse(made, {"a": True, "b": True}, (0.0, 0.0), range(3))
    assert found.dominated_by.tolist() == [-1, 0, 0]
    assert found.dominated_share[:2].tolist() == [0, 1]
    assert found.dominated_share[2] == pytest.approx(1 - found.probability[2])
    assert 0.5 < found.dominated_share[2] < 0.95


def test_what_is_not_eligible_takes_no_part() -> None:
    made = table(n=3)
    made.values[0] = 10.0
    made = SeedTable(METRICS, made.values, made.done, np.array([False, True, True]))
    found = analyse(made, {"a": True, "b": True}, (0.0, 0.0), [1, 2])
    assert not found.on_front[0]
    assert found.probability[0] == 0
    assert (found.dominated_by != 0).all()
    nobody = SeedTable(METRICS, made.values, made.done, np.zeros(3, bool))
    empty = analyse(nobody, {"a": True, "b": True}, (0.0, 0.0), [])
    assert (empty.on_front.any(), empty.hypervolume, empty.knee) == (False, 0, None)
    assert len(empty.growth.counts) == 0


def test_one_seed_gives_yes_and_no() -> None:
    found = analyse(table(s=1), {"a": True, "b": True}, (0.0, 0.0), range(8))
    assert found.probability.tolist() == found.on_front.astype(float).tolist()
    assert found.band == pytest.approx((found.hypervolume, found.hypervolume))
