import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_problems import brute_force, random_problem

from qpmstudy.selection.search import Search

FOREVER = float("inf")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_swap_gains_equal_the_differences_of_values(seed):
    problem = random_problem(seed)
    search = Search(problem)
    rng = np.random.default_rng(seed)
    n_given = len(problem.relevance)
    selected = rng.choice(n_given, problem.n_features, replace=False)
    gains = search.swap_gains(selected)
    value = search.value(selected)
    for i in range(len(selected)):
        for j in range(n_given):
            if j in selected:
                assert gains[i, j] == -np.inf
                continue
            swapped = selected.copy()
            swapped[i] = j
            np.testing.assert_allclose(gains[i, j], search.value(swapped) - value, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_swap_improves_a_descended_selection_and_its_value_bounds_the_truth(seed):
    problem = random_problem(seed)
    search = Search(problem)
    end = search.descend(search.greedy(), FOREVER)
    assert search.swap_gains(end).max() <= 1e-9
    assert search.value(end) >= search.evaluate(end).objective - 1e-9


def test_tabu_search_finds_most_tiny_optima():
    hits = 0
    for seed in range(30):
        problem = random_problem(seed)
        search = Search(problem)
        start = search.climb(search.greedy(), FOREVER)
        found = search.explore(start, 100, np.random.default_rng(0), FOREVER)
        assert found.objective >= start.objective
        assert problem.violations(found.selected, found.assignment) == []
        hits += found.objective >= brute_force(problem) - 1e-9
    assert hits >= 28
