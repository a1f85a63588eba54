import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qpmstudy.selection.assignment import alike, best_assignment, best_sets, top_sets


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_best_sets_come_in_order_without_repetition(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    k = int(rng.integers(1, n + 1))
    profit = rng.integers(-3, 4, n).astype(float) if rng.random() < 0.5 else rng.normal(size=n)
    found = best_sets(profit, k, math.comb(n, k) + 3)
    expected = sorted(profit[list(s)].sum() for s in itertools.combinations(range(n), k))[::-1]
    np.testing.assert_allclose([value for value, _ in found], expected)
    assert len({tuple(sorted(features)) for _, features in found}) == math.comb(n, k)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_best_assignment_is_the_best_with_all_classes_different(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 6))
    k = int(rng.integers(1, n))
    C = int(rng.integers(2, min(4, math.comb(n, k)) + 1))
    profit = rng.integers(0, 3, (n, C)).astype(float)  # few values: many classes alike
    chosen = best_assignment(profit, k)
    assert not alike(chosen)
    assert (chosen.sum(axis=1) == k).all()
    sets = list(itertools.combinations(range(n), k))
    best = max(
        sum(profit[list(s), c].sum() for c, s in enumerate(order))
        for order in itertools.permutations(sets, C)
    )
    assert (profit.T * chosen).sum() == best


def test_classes_that_differ_keep_their_best_features():
    profit = np.array([[3.0, 0.0], [2.0, 1.0], [0.0, 2.0]])
    assert (best_assignment(profit, 2) == top_sets(profit, 2)).all()


def test_alike_finds_groups():
    rows = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 1]], dtype=bool)
    assert sorted(group.tolist() for group in alike(rows)) == [[0, 2], [1, 3]]
