"""Gurobi: its license held and given back, waited for, and what happens without it."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import gurobipy
import numpy as np
import pytest
from license_files import BROKEN
from selection_problems import dense_problem, golden

from qpmstudy.errors import SolverError
from qpmstudy.selection import SelectionProblem, Status, solve
from qpmstudy.selection.gurobi_environment import ENVIRONMENT, SharedEnvironment
from qpmstudy.selection.linear import model_size

SMALL, LARGE = dense_problem(), dense_problem(150, 60, 40, 5)


@pytest.fixture(autouse=True)
def no_license_held():
    ENVIRONMENT.close()
    yield
    ENVIRONMENT.close()


@pytest.fixture
def license_file(monkeypatch, tmp_path):
    file = tmp_path / "gurobi.lic"
    monkeypatch.setenv("GRB_LICENSE_FILE", str(file))
    return file


def until(condition, seconds=5.0):
    deadline = time.perf_counter() + seconds
    while not condition() and time.perf_counter() < deadline:
        time.sleep(0.01)
    return condition()


def test_two_solves_share_one_environment():
    solve(SMALL, "gurobi", gap=0.5)
    assert ENVIRONMENT.held
    with ENVIRONMENT.use(1.0) as first:
        pass
    solve(SMALL, "gurobi", gap=0.5)
    with ENVIRONMENT.use(1.0) as second:
        assert second is first


def test_an_idle_environment_is_given_back_and_made_anew():
    shared = SharedEnvironment(idle=0.05)
    with shared.use(1.0) as first:
        time.sleep(0.15)  # longer than idle, but in use
        gurobipy.Model(env=first).dispose()
    assert shared.held
    assert until(lambda: not shared.held)
    with pytest.raises(gurobipy.GurobiError):
        gurobipy.Model(env=first)
    with shared.use(1.0) as second:
        gurobipy.Model(env=second).dispose()
    shared.close()


def test_use_puts_off_the_end():
    shared = SharedEnvironment(idle=0.4)
    for _ in range(4):
        with shared.use(1.0):
            pass
        time.sleep(0.2)
    assert shared.held
    shared.close()
    assert not shared.held


def test_an_environment_in_which_something_failed_is_not_kept():
    with pytest.raises(gurobipy.GurobiError), ENVIRONMENT.use(1.0) as environment:
        environment.setParam("NoSuchParameter", 1)
    assert not ENVIRONMENT.held


def test_threads_take_turns():
    answers = []
    problem, _ = golden("10_qp_05_triu_R_dup_n3")
    threads = [
        threading.Thread(target=lambda: answers.append(solve(problem, "gurobi", gap=0.0)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answer.status for answer in answers] == [Status.OPTIMAL] * 3
    with (
        ENVIRONMENT.use(1.0),
        pytest.raises(SolverError, match="Another thread of this process"),
        ENVIRONMENT.use(0.05),
    ):
        pass


def test_a_process_ends_quietly_with_the_environment_in_its_hands():
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from selection_problems import dense_problem
from qpmstudy.selection import solve
from qpmstudy.selection.gurobi_environment import ENVIRONMENT
solve(dense_problem(), "gurobi", gap=0.5)
print(ENVIRONMENT.held)
"""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert time.perf_counter() - begin < 25.0  # it does not wait for the idle time


def filled_problem(n_classes):
    """Classes in pairs that are alike, and as many rows as the license allows, or more."""
    rng = np.random.default_rng(2)
    relevance = rng.normal(size=(30, n_classes // 2)).repeat(2, axis=1)
    penalty = np.triu(rng.random((30, 30)), 1)
    return SelectionProblem(relevance, penalty, None, 12, 4)


def test_the_license_is_used_up_to_its_limit_and_not_beyond():
    fits, too_large = filled_problem(50), filled_problem(52)
    assert 1950 < max(model_size(fits)) <= 2000 < max(model_size(too_large))
    answer = solve(fits, "gurobi", gap=0.05, time_limit=10.0)
    assert (answer.solver, answer.fallback) == ("gurobi", None)
    with pytest.raises(SolverError, match=r"has 2025 variables and 2048 rows, but .* to 2000"):
        solve(too_large, "gurobi", time_limit=5.0)


def test_a_problem_that_is_too_large_is_left_to_the_open_solver_where_that_is_allowed():
    with pytest.raises(SolverError, match=r"\d+ variables and \d+ rows, but .* limited to 2000"):
        solve(LARGE, "gurobi")
    for arguments in ({"solver": "gurobi", "fallback": "lagrangian"}, {"solver": "auto"}):
        answer = solve(LARGE, gap=0.5, time_limit=5.0, **arguments)
        assert answer.solver == "lagrangian"
        assert "limited to 2000 of each" in answer.fallback


def test_auto_is_gurobi_where_that_can_answer():
    answer = solve(SMALL, "auto")
    assert (answer.solver, answer.fallback) == ("gurobi", None)


@pytest.mark.parametrize("name", ["expired", "damaged", "web license without secret"])
def test_a_license_that_is_no_good_is_not_waited_for(license_file, name):
    license_file.write_text(BROKEN[name].lines)
    begin = time.perf_counter()
    with pytest.raises(SolverError, match=f"{BROKEN[name].says}. Renew or repair"):
        solve(SMALL, "gurobi", time_limit=60.0)
    assert time.perf_counter() - begin < 1.0
    for arguments in ({"solver": "gurobi", "fallback": "lagrangian"}, {"solver": "auto"}):
        answer = solve(SMALL, gap=0.5, **arguments)
        assert answer.solver == "lagrangian"
        assert answer.fallback.startswith("There is no valid Gurobi license: ")


def test_a_silent_token_server_is_asked_again_for_half_the_time_limit(license_file):
    license_file.write_text(BROKEN["token server silent"].lines)
    begin = time.perf_counter()
    with pytest.raises(SolverError, match=BROKEN["token server silent"].says):
        solve(SMALL, "gurobi", time_limit=4.0)
    assert 1.5 < time.perf_counter() - begin < 3.0  # a try takes 0.5 s, the wait between two 1 s
    answer = solve(SMALL, "auto", gap=0.5, time_limit=1.0)
    assert answer.solver == "lagrangian"
    assert 0.5 < answer.seconds < 3.0
    assert answer.trace[-1].seconds > 0.5


def test_a_license_that_becomes_free_while_it_is_waited_for_is_used(license_file):
    license_file.write_text(BROKEN["token server silent"].lines)
    good = Path(gurobipy.__file__).parent / ".libs" / "gurobi.lic"
    later = threading.Timer(0.8, shutil.copy, (good, license_file))
    later.start()
    answer = solve(SMALL, "gurobi", gap=0.5, time_limit=10.0)
    later.join()
    assert (answer.solver, answer.fallback) == ("gurobi", None)
