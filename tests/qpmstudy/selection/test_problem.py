import re

import numpy as np
import pytest
from selection_problems import GOLDEN, golden

from qpmstudy.errors import ConfigError, SolverError
from qpmstudy.selection import SelectionProblem, relative_gap


def problem(**changes):
    arguments = {
        "relevance": np.arange(12.0).reshape(4, 3),
        "pair_penalty": None,
        "bias": None,
        "n_features": 3,
        "per_class": 2,
    }
    return SelectionProblem(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"n_features": 5}, SolverError, "5 features cannot be selected out of 4"),
        ({"per_class": 4}, SolverError, "cannot have 4 of only 3"),
        ({"n_features": 2}, SolverError, "form 1 different sets, too few to tell 3 classes"),
        ({"n_features": 0}, ConfigError, "n_features is 0"),
        ({"per_class": 0}, ConfigError, "per_class is 0"),
        ({"relevance": np.array([[1.0, np.nan]])}, ConfigError, "relevance has 1 entries that"),
        ({"relevance": np.ones(4)}, ConfigError, r"relevance has shape \(4,\)"),
        ({"bias": np.ones(3)}, ConfigError, r"bias has shape \(3,\), but there are 4"),
        ({"bias": np.array([0, 0, 0, np.inf])}, ConfigError, "bias has 1 entries"),
        ({"pair_penalty": np.ones((3, 3))}, ConfigError, r"pair_penalty has shape \(3, 3\)"),
        ({"pair_penalty": np.eye(4)}, ConfigError, "non-zero diagonal"),
        ({"pair_penalty": -np.eye(4, k=1)}, ConfigError, "negative entry -1"),
        ({"pair_penalty": np.eye(4, k=-1)}, ConfigError, "neither symmetric nor upper"),
        ({"pair_penalty": np.full((4, 4), np.nan)}, ConfigError, "pair_penalty has 16 entries"),
    ],
)
def test_impossible_problems_are_refused_with_the_reason(changes, error, message):
    with pytest.raises(error, match=message):
        problem(**changes)


def test_upper_triangular_and_symmetric_penalties_mean_the_same():
    upper = np.triu(np.arange(16.0).reshape(4, 4), 1)
    selected = np.array([0, 1, 3])
    assignment = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=bool)
    values = [
        problem(pair_penalty=penalty).objective(selected, assignment)
        for penalty in (upper, upper + upper.T)
    ]
    assert values[0] == values[1]
    assert values[0] == problem().objective(selected, assignment) - (1 + 3 + 7)


@pytest.mark.parametrize("name", GOLDEN)
def test_objective_equals_the_reference(name):
    instance, arrays = golden(name)
    for kind in ("out", "own_optimum"):
        selected, W = arrays[f"{kind}_selected"], arrays[f"{kind}_W"].astype(bool)
        expected = arrays["out_objective" if kind == "out" else "own_optimum"]
        assert instance.violations(selected, W) == []
        assert instance.objective(selected, W) == pytest.approx(float(expected), abs=1e-9)


def test_a_problem_cannot_be_changed_from_outside():
    A = np.arange(12.0).reshape(4, 3)
    kept = problem(relevance=A)
    A[:] = 0
    assert kept.relevance[3, 2] == 11
    with pytest.raises(ValueError, match="read-only"):
        kept.relevance[0, 0] = 5


GOOD = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=bool)


@pytest.mark.parametrize(
    ("selected", "assignment", "rule"),
    [
        ([0, 1, 2], GOOD[[0, 1, 0]], "classes 0 and 2 have the same features"),
        ([0, 1], GOOD[:, :2], "2 features are selected, not 3"),
        ([0, 1], GOOD[:, :2], "class 1 has 1 features, not 2"),
        ([0, 1, 1], GOOD, "not sorted, or one is selected twice"),
        ([2, 1, 0], GOOD, "not sorted"),
        ([0, 1, 4], GOOD, r"outside 0\.\.3"),
        ([-1, 1, 2], GOOD, r"outside 0\.\.3"),
        ([0, 1, 2], GOOD.astype(int), "assignment is int64"),
        ([0, 1, 2], GOOD[:2], "assignment is bool"),
        ([0.0, 1.0, 2.0], GOOD, "no list of indices"),
    ],
)
def test_violations_name_the_broken_rule(selected, assignment, rule):
    found = problem().violations(np.array(selected), assignment)
    assert any(re.search(rule, sentence) for sentence in found), found


def test_a_feasible_solution_has_no_violations():
    assert problem().violations(np.array([0, 2, 3]), GOOD) == []


@pytest.mark.parametrize(
    ("objective", "bound", "gap"),
    [(100.0, 101.0, 0.01), (-100.0, -99.0, 0.01), (5.0, 5.0, 0.0), (0.0, 1.0, np.inf), (0, 0, 0)],
)
def test_relative_gap(objective, bound, gap):
    assert relative_gap(float(objective), float(bound)) == pytest.approx(gap)
