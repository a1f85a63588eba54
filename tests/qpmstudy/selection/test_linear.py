"""The linear model says the same as the problem, and its cuts and rows rule out no answer."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from selection_instances import SIZES, generated
from selection_problems import golden, random_problem

from qpmstudy.selection.assignment import alike, best_assignment
from qpmstudy.selection.base import Limits
from qpmstudy.selection.linear import LinearModel, model_size
from qpmstudy.selection.linear_run import Run
from qpmstudy.selection.search import Candidate

LIMITS = Limits(gap=0.0, time_limit=10.0, seed=0)


def satisfied(model, x):
    value = model.rows @ x
    inside = (x >= 0).all() and (x <= 1).all()
    return inside and (model.lower - 1e-9 <= value).all() and (value <= model.upper + 1e-9).all()


def random_candidate(problem, rng):
    """A selection with classes that all differ, neither of them good."""
    n_given, n_classes = problem.relevance.shape
    selected = np.sort(rng.choice(n_given, problem.n_features, replace=False))
    rows = best_assignment(rng.normal(size=(problem.n_features, n_classes)), problem.per_class)
    return Candidate(selected, rows, problem.objective(selected, rows))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_solution_keeps_its_value_and_breaks_no_row(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed)
    model = Run(problem, LIMITS).model
    n_classes = problem.relevance.shape[1]
    model.tell_apart(rng.permutation(n_classes)[:3])
    model.tell_apart(rng.permutation(n_classes)[:2])
    for _ in range(20):
        candidate = random_candidate(problem, rng)
        x = model.encode(candidate)
        assert satisfied(model, x)
        assert model.profit @ x == pytest.approx(candidate.objective)
        selected, assignment = model.decode(x)
        np.testing.assert_array_equal(selected, candidate.selected)
        np.testing.assert_array_equal(assignment, candidate.assignment)


def shared_by_classes_0_and_1(problem):
    rng = np.random.default_rng(1)
    candidate = random_candidate(problem, rng)
    candidate.assignment[1] = candidate.assignment[0]
    assert [group.tolist() for group in alike(candidate.assignment)] == [[0, 1]]
    return candidate


def test_classes_that_are_told_apart_cannot_be_alike():
    problem, _ = golden("10_qp_03_no_R_dup")
    model, wrong = LinearModel(problem), shared_by_classes_0_and_1(problem)
    assert satisfied(model, model.encode(wrong))
    n_variables = len(model.profit)
    model.tell_apart(np.array([0, 1]))
    x = model.encode(wrong)
    F = len(problem.relevance)
    only_here = linprog(  # the new variables alone decide: all others are as in x
        np.zeros(F),
        A_ub=model.rows[:, n_variables:].toarray(),
        b_ub=model.upper - model.rows[:, :n_variables] @ x[:n_variables],
        bounds=(0, 1),
    )
    assert only_here.status == 2  # infeasible


def test_a_forbidden_set_is_not_shared_but_one_class_may_have_it():
    problem, _ = golden("10_qp_03_no_R_dup")
    model, wrong = LinearModel(problem), shared_by_classes_0_and_1(problem)
    features = wrong.selected[wrong.assignment[0]]
    cells, most = model.forbidden(features, np.array([0, 1]))
    assert model.encode(wrong)[cells].sum() == most + 1
    wrong.assignment[1] = np.roll(wrong.assignment[0], 1)
    assert model.encode(wrong)[cells].sum() <= most


def linear_bound(model):
    exact = model.lower == model.upper
    solved = linprog(
        -model.profit,
        A_ub=model.rows[~exact],
        b_ub=model.upper[~exact],
        A_eq=model.rows[exact],
        b_eq=model.upper[exact],
        bounds=(0, 1),
    )
    return -solved.fun


def test_the_cuts_lower_the_bound_of_the_model_to_that_of_the_relaxation():
    problem = generated(*SIZES["64x16"])
    run = Run(problem, LIMITS)
    plain, cut = linear_bound(LinearModel(problem)), linear_bound(run.model)
    assert run.best.objective - 1e-6 <= cut <= run.bound * (1 + 1e-3)
    assert plain - cut > 0.8 * (plain - run.best.objective) > 0


def test_the_model_has_the_size_that_was_said_and_no_more_rows_than_allowed():
    problem = generated(30, 10, 9, 3)
    n_variables, n_rows = model_size(problem)
    assert LinearModel(problem).rows.shape == (n_rows, n_variables)
    assert Run(problem, LIMITS).model.rows.shape[0] > n_rows + 3
    assert Run(problem, LIMITS, n_rows + 3).model.rows.shape == (n_rows + 3, n_variables)
    assert Run(problem, LIMITS, n_rows).model.rows.shape == (n_rows, n_variables)


def test_classes_that_clash_in_the_best_selection_are_found():
    problem, _ = golden("10_qp_05_triu_R_dup_n3")
    clashes = {tuple(group.tolist()) for group in Run(problem, LIMITS).clashes}
    apart = [np.abs(np.subtract(*problem.relevance.T[[a, b]])).max() for a, b in clashes]
    assert clashes
    assert max(apart) < min(
        np.abs(np.subtract(*problem.relevance.T[[a, b]])).max()
        for a, b in itertools.combinations(range(problem.relevance.shape[1]), 2)
        if (a, b) not in clashes
    )
