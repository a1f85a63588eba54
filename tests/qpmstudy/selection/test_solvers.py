"""The contract of every selection solver."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_instances import SIZES, generated
from selection_problems import GOLDEN, brute_force, dense_problem, golden, random_problem

from qpmstudy.errors import ConfigError, SolverError
from qpmstudy.selection import SOLVERS, SelectionProblem, Status, solve
from qpmstudy.selection.lagrangian import LagrangianSolver

SOLVER_NAMES = SOLVERS.names()

# size, optimum: proven without a gap by the open solver, the first one by HiGHS too
KNOWN = [("64x30", 348.0358078910), ("96x40", 314.5749315502), ("128x50", 307.8917942644)]


def needs(solver):
    """Skip, loudly, when the optional package of a solver is missing."""
    if solver == "highs":
        pytest.importorskip("highspy")


@pytest.mark.parametrize("solver", SOLVER_NAMES)
@pytest.mark.parametrize("name", GOLDEN)
def test_the_optimum_of_the_golden_instances_is_proven(solver, name):
    needs(solver)
    problem, arrays = golden(name)
    answer = solve(problem, solver, gap=0.0, time_limit=30.0)
    assert answer.status is Status.OPTIMAL
    assert answer.gap == 0.0
    assert answer.objective == pytest.approx(float(arrays["own_optimum"]), abs=1e-6)
    assert answer.selected.tolist() == arrays["own_optimum_selected"].tolist()
    assert (answer.assignment == arrays["own_optimum_W"]).all()
    assert answer.objective >= float(arrays["out_objective"]) - 1e-6


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.005, 0.1]))
def test_lagrangian_bounds_are_valid_and_answers_within_the_gap(seed, gap):
    check_against_brute_force("lagrangian", seed, gap, 1e-7)


@pytest.mark.parametrize("solver", ["gurobi", "highs"])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gap=st.sampled_from([0.0, 0.005, 0.1]))
def test_linear_bounds_are_valid_and_answers_within_the_gap(solver, seed, gap):
    needs(solver)
    check_against_brute_force(solver, seed, gap, 1e-6)


def check_against_brute_force(solver, seed, gap, precision):
    problem = random_problem(seed)
    optimum = brute_force(problem)
    answer = solve(problem, solver, gap=gap)
    slack = precision * max(1.0, abs(optimum))
    assert problem.violations(answer.selected, answer.assignment) == []
    assert answer.objective <= optimum + slack
    assert answer.bound >= optimum - slack
    assert answer.objective >= optimum - gap * abs(answer.objective) - slack
    assert answer.gap <= gap + precision


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_progress_rises_and_falls_to_the_answer(solver, threads):
    needs(solver)
    heard = []
    problem = middling_problem(3)
    answer = solve(problem, solver, gap=0.0, threads=threads, on_progress=heard.append)
    assert list(answer.trace) == heard
    assert answer.status is Status.OPTIMAL
    assert [step.objective for step in heard] == sorted(step.objective for step in heard)
    assert [-step.bound for step in heard] == sorted(-step.bound for step in heard)
    assert [step.seconds for step in heard] == sorted(step.seconds for step in heard)
    assert all(step.objective <= answer.objective + 1e-6 <= step.bound + 2e-6 for step in heard)
    assert (heard[-1].objective, heard[-1].bound) == (answer.objective, answer.bound)


@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_an_error_of_the_listener_ends_the_solve(solver):
    needs(solver)

    def listener(step):
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"):
        solve(middling_problem(3), solver, gap=0.0, on_progress=listener)


@pytest.mark.parametrize(("size", "optimum"), KNOWN)
def test_the_known_optimum_of_generated_instances_is_found(size, optimum):
    answer = solve(generated(*SIZES[size]), "lagrangian", gap=5e-3, time_limit=30.0)
    assert answer.objective == pytest.approx(optimum, abs=1e-6)
    assert answer.bound >= optimum - 1e-6
    assert answer.gap <= 5e-3


@pytest.mark.slow
def test_a_large_instance_is_bounded_tightly_in_time():
    answer = solve(generated(*SIZES["512x200"]), "lagrangian", gap=0.012, time_limit=60.0)
    assert answer.objective >= 375.99
    assert answer.status is Status.GAP_REACHED


def test_the_same_seed_gives_the_same_answer_also_in_another_process():
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from selection_problems import dense_problem
from qpmstudy.selection import SelectionProblem, solve
answer = solve(dense_problem(), "lagrangian", gap=0.02, seed=3)
print(answer.selected.tolist(), answer.objective.hex(), answer.bound.hex())
"""
    directory = str(Path(__file__).parent)
    answer = solve(dense_problem(), "lagrangian", gap=0.02, seed=3)
    here = f"{answer.selected.tolist()} {answer.objective.hex()} {answer.bound.hex()}"
    other = subprocess.run(
        [sys.executable, "-c", program, directory], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == here


def test_a_time_limit_is_kept_and_reported():
    problem = dense_problem(150, 60, 40, 5)
    answer = solve(problem, "lagrangian", gap=0.0, time_limit=0.5)
    assert answer.status is Status.TIME_LIMIT
    assert answer.seconds < 3.0
    assert answer.bound > answer.objective


def test_highs_gives_an_answer_and_a_bound_even_without_the_time_for_its_own():
    needs("highs")
    answer = solve(dense_problem(150, 60, 40, 5), "highs", gap=0.0, time_limit=0.3)
    assert answer.status is Status.TIME_LIMIT
    assert answer.objective < answer.bound < np.inf


def test_unknown_solvers_and_limits_are_refused():
    with pytest.raises(ConfigError, match=r"Unknown selection solver 'gurobbi'.*'gurobi'"):
        solve(dense_problem(), "gurobbi")
    with pytest.raises(ConfigError, match="gap is -1"):
        solve(dense_problem(), gap=-1.0)
    with pytest.raises(ConfigError, match="time_limit 0"):
        solve(dense_problem(), time_limit=0.0)
    with pytest.raises(ConfigError, match="fallback is 'highs': the choices are fail, lagrangian"):
        solve(dense_problem(), fallback="highs")


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (lambda a: {"objective": a.objective + 1}, "its objective is"),
        (lambda a: {"bound": a.objective - 1}, "is below its objective"),
        (lambda a: {"assignment": np.zeros_like(a.assignment)}, "class 0 has 0 features"),
    ],
)
def test_a_wrong_answer_is_not_passed_on(monkeypatch, lie, message):
    honest = LagrangianSolver.solve

    def lying(self, problem, limits):
        answer = honest(self, problem, limits)
        return dataclasses.replace(answer, **lie(answer))

    monkeypatch.setattr(LagrangianSolver, "solve", lying)
    with pytest.raises(SolverError, match=message):
        solve(dense_problem(), "lagrangian", gap=0.05)


def middling_problem(seed: int) -> SelectionProblem:
    """Return a problem that takes some branching: too large for brute force."""
    rng = np.random.default_rng(seed)
    n_given, n_classes = int(rng.integers(16, 26)), int(rng.integers(5, 10))
    A = rng.normal(size=(n_given, n_classes))
    penalty = 40 * np.triu(rng.random((n_given, n_given)) * (rng.random(2 * A.shape[:1]) < 0.4), 1)
    bias = 10 * rng.normal(size=n_given) if seed % 2 else None
    return SelectionProblem(A, penalty + penalty.T, bias, int(rng.integers(7, 11)), 3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_branch_and_bound_agrees_with_gurobi(seed):
    problem = middling_problem(seed)
    ours = solve(problem, "lagrangian", gap=0.0, time_limit=60.0)
    theirs = solve(problem, "gurobi", gap=0.0, time_limit=60.0)
    assert ours.status is theirs.status is Status.OPTIMAL
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-6)


INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[1])
from selection_problems import hard_problem
from qpmstudy.selection import solve
for solver in sys.argv[2:]:
    print("solving", flush=True)
    try:
        solve(hard_problem(), solver, gap=0.0, time_limit=60.0)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_ends_every_solver_within_seconds():
    solvers = ["lagrangian", "gurobi", "highs"]
    needs("highs")
    directory = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, directory, *solvers], stdout=subprocess.PIPE, text=True
    )
    try:
        for _ in solvers:
            assert child.stdout.readline() == "solving\n"
            time.sleep(2.0)  # warm start and cuts take half of it, the solver the rest
            begin = time.perf_counter()
            child.send_signal(signal.SIGINT)
            lines = iter(child.stdout.readline, "")
            assert "interrupted\n" in lines  # Gurobi says something of its own before
            assert time.perf_counter() - begin < 5.0
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()


LEFT_BEHIND = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
from selection_problems import hard_problem
from qpmstudy.selection import highs, solve
highs._PATIENCE = 0.0  # whatever it is in the middle of is left behind
threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    solve(hard_problem(), "highs", gap=0.0, time_limit=60.0)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
def test_a_solve_that_is_left_behind_does_not_abort_the_process():
    needs("highs")
    directory = str(Path(__file__).parent)
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND, directory],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (130, "")
