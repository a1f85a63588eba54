"""Cuts hold for every integer solution, and every choice of multipliers gives a bound."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_problems import brute_force, random_problem

from qpmstudy.selection.cuts import (
    CliqueCut,
    DifferenceCut,
    clique_cuts,
    difference_cuts,
    restrict_clique,
)
from qpmstudy.selection.relaxation import Multipliers, Relaxation

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_clique_cuts_are_violated_by_the_fraction_and_by_no_selection(seed):
    rng = np.random.default_rng(seed)
    n = 7
    conflict = np.triu(rng.random((n, n)) < 0.8, 1)
    conflict |= conflict.T
    s = rng.random(n)
    y = np.zeros((n, n))
    for members, m in clique_cuts(s, y, conflict):
        assert all(conflict[i, j] for i, j in itertools.combinations(members, 2))
        assert m * s[list(members)].sum() - m * (m + 1) / 2 > 0
        for t in range(len(members) + 1):
            assert t * (t - 1) / 2 >= m * t - m * (m + 1) / 2


def test_a_half_selected_triangle_is_cut_off():
    conflict = ~np.eye(3, dtype=bool)
    found = clique_cuts(np.full(3, 0.5), np.zeros((3, 3)), conflict)
    assert found == [CliqueCut((0, 1, 2), 1)]
    paid = np.where(conflict, 0.5 / 3, 0.0)
    assert clique_cuts(np.full(3, 0.5), paid, conflict) == []


def test_classes_that_share_their_features_are_cut_off():
    w = np.array([[1.0, 1.0, 0.0], [0.9, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert difference_cuts(w, 2) == [DifferenceCut((0, 1), (0, 1))]
    assert difference_cuts(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), 2) == []


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_a_restricted_clique_cut_holds_for_what_is_left(seed):
    rng = np.random.default_rng(seed)
    members = tuple(range(6))
    m = int(rng.integers(1, 5))
    kind = rng.integers(0, 3, 6)  # 0: left out, 1: fixed to one, 2: free
    inside, free = np.flatnonzero(kind == 1), np.flatnonzero(kind == 2)
    position = np.full(6, -1)
    position[np.concatenate([inside, free])] = np.arange(len(inside) + len(free))
    cut = restrict_clique(CliqueCut(members, m), position, len(inside))
    for t in range(len(free) + 1):
        whole = len(inside) + t
        slack = whole * (whole - 1) / 2 - (m * whole - m * (m + 1) / 2)
        if cut is not None:
            assert len(cut.members) == len(free)
            assert slack == t * (t - 1) / 2 - (cut.m * t - cut.m * (cut.m + 1) / 2)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_any_multipliers_bound_the_optimum(seed):
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    n_given, n_classes = problem.relevance.shape
    scale = float(np.abs(problem.profit).max()) or 1.0
    sizes = rng.integers(2, 4, 5)
    penalised = np.zeros((n_given, n_given), dtype=bool)
    if problem.pair_penalty is not None:
        penalised = problem.pair_penalty > 0
    cliques = {}
    for size in sizes:
        members = tuple(sorted(rng.choice(n_given, min(size, n_given), replace=False).tolist()))
        if all(penalised[i, j] for i, j in itertools.combinations(members, 2)):
            cliques[CliqueCut(members, int(rng.integers(1, 3)))] = scale * float(rng.random())
    features = rng.choice(n_given, problem.per_class, replace=False)
    alike = DifferenceCut(tuple(sorted(features.tolist())), tuple(range(n_classes)))
    start = Multipliers(
        scale * rng.normal(size=n_classes), 0.0, cliques, {alike: scale * float(rng.random())}
    )
    nothing = np.zeros(0, dtype=np.int64)
    relaxation = Relaxation(problem, nothing, np.arange(n_given), start)
    optimum = brute_force(problem)
    assert relaxation.bound()[0] >= optimum - 1e-8 * scale
    relaxation.minimise(0.1 * scale, 0.1 * scale, 20)
    relaxation.add_cuts()
    relaxation.minimise(0.01 * scale, 0.01 * scale, 20)
    assert relaxation.bound()[0] >= optimum - 1e-8 * scale


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_the_smoothed_gradient_is_its_derivative(seed):
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    n_given, n_classes = problem.relevance.shape
    scale = float(np.abs(problem.profit).max()) or 1.0
    start = Multipliers(0.3 * scale * rng.normal(size=n_classes), 0.1 * scale)
    relaxation = Relaxation(problem, np.arange(1), np.arange(1, n_given), start)
    relaxation.minimise(0.5 * scale, 0.5 * scale, 2)
    relaxation.add_cuts()
    relaxation.minimise(0.5 * scale, 0.5 * scale, 1)
    z = relaxation.z + 0.01 * scale * rng.random(len(relaxation.z))
    _, gradient = relaxation.smoothed(z)
    step = 1e-6 * scale
    for at in range(len(z)):
        moved = np.eye(len(z))[at] * step
        ahead, back = relaxation.smoothed(z + moved)[0], relaxation.smoothed(z - moved)[0]
        assert (ahead - back) / (2 * step) == pytest.approx(gradient[at], abs=1e-3)
