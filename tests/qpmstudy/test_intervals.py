"""Intervals against their textbooks, and against their promise: the truth, 19 times in 20."""

import math

import numpy as np
import pytest
from scipy import stats

from qpmstudy.intervals import mcnemar, mean_interval, paired_difference, share_interval


def test_wilsons_interval_of_a_share() -> None:
    """Newcombe (1998), Table I: 81 of 263 and 15 of 148, method 3."""
    for hits, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        found = share_interval(hits, of)
        assert found.value == hits / of
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert share_interval(0, 20).low == 0
    assert share_interval(20, 20).high == 1


def test_students_interval_of_a_mean() -> None:
    values = [0.71, 0.74, 0.78]
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    high = mean_interval([1.0, 0.94], within=(0.0, 1.0))
    assert (high.value, high.high) == pytest.approx((0.97, 1.0))
    assert 0.0 < high.low < 0.97
    assert mean_interval([0.0, 0.06], within=(0.0, 1.0)).low == 0.0
    alone = mean_interval([0.5])
    assert alone.value == 0.5
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


def test_pairs_are_sharper_than_their_halves() -> None:
    """What makes images hard for both models cancels."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 400)
    first, second = hard + rng.normal(0, 0.1, 400), hard + 0.05 + rng.normal(0, 0.1, 400)
    found = paired_difference(first, second)
    assert found is not None
    assert found.images == 400
    assert found.difference.value == pytest.approx(found.second - found.first)
    reach = 1.96 * np.std(second - first, ddof=1) / math.sqrt(400)
    assert found.difference.low == pytest.approx(found.difference.value - reach, abs=1e-3)
    assert found.difference.high == pytest.approx(found.difference.value + reach, abs=1e-3)
    assert found.difference.low > 0
    assert found == paired_difference(first, second)
    again = paired_difference(first, second, seed=1)
    assert again is not None
    assert again.difference != found.difference


def test_the_bootstrap_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(60):
        gains = rng.choice([-1.0, 0.0, 1.0], 80, p=[0.1, 0.7, 0.2])
        found = paired_difference(np.zeros(80), gains, seed)
        assert found is not None
        held += found.difference.low <= 0.1 <= found.difference.high
    assert 51 <= held <= 60  # 57 expected; further off once in 500


def test_images_without_a_value_are_left_out_of_both() -> None:
    nan = math.nan
    found = paired_difference(np.array([1.0, nan, 0.0, 4.0]), np.array([2.0, 9.0, nan, 4.0]))
    assert found is not None
    assert (found.first, found.second, found.images) == (2.5, 3.0, 2)
    assert paired_difference(np.array([nan]), np.array([1.0])) is None


def test_a_single_image_has_no_interval() -> None:
    found = paired_difference(np.array([0.2]), np.array([0.7]))
    assert found is not None
    assert found.difference.value == pytest.approx(0.5)
    assert math.isnan(found.difference.low)
    assert math.isnan(found.difference.high)


def test_mcnemars_exact_test() -> None:
    """10 against 2 of 12: two tails of a fair coin, 2 * (1 + 12 + 66) / 4096."""
    first = np.array([True] * 10 + [False] * 2 + [True] * 30)
    second = np.array([False] * 10 + [True] * 2 + [True] * 30)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (10, 2)
    assert found.p == pytest.approx(2 * 79 / 4096)
    assert mcnemar(second, first).p == found.p
    assert mcnemar(first, first).p == 1
