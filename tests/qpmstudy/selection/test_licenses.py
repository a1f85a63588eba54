"""What is found out about Gurobi's license, with license files that gurobipy really refuses."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from license_files import BROKEN, NO_NETWORK, SECRET
from selection_problems import dense_problem

from qpmstudy.errors import ConfigError, SolverError
from qpmstudy.selection import solve
from qpmstudy.selection.gurobi_environment import ENVIRONMENT
from qpmstudy.selection.licenses import TOKENS, LicenseKind, is_transient, license_file, probe


@pytest.fixture(autouse=True)
def no_license_held(monkeypatch):
    """A license that is held already would hide the one under test."""
    monkeypatch.delenv(TOKENS, raising=False)
    monkeypatch.setenv(*NO_NETWORK)
    ENVIRONMENT.close()
    yield
    ENVIRONMENT.close()


@pytest.fixture
def put(monkeypatch, tmp_path):
    """Return a function that makes a text this process's license file."""

    def write(text):
        file = tmp_path / "gurobi.lic"
        file.write_text(text)
        monkeypatch.setenv("GRB_LICENSE_FILE", str(file))

    return write


def test_the_license_that_comes_with_gurobipy_is_recognised():
    found = probe()
    assert found.kind is LicenseKind.SIZE_LIMITED
    assert not found.covers_all_sizes
    assert found.reason is None
    assert found.expires > date(2026, 1, 1)
    assert found.tokens == os.cpu_count()


@pytest.mark.parametrize("name", BROKEN)
def test_a_license_that_fails_is_described(put, name):
    broken = BROKEN[name]
    put(broken.lines)
    found = probe()
    assert found.kind is broken.kind
    assert found.tokens == 0
    assert not found.covers_all_sizes
    with pytest.raises(SolverError, match=f"There is no valid Gurobi license: .*{broken.says}"):
        raise SolverError(found.reason)
    again = "Try again when the license server can be reached" in found.reason
    assert again == broken.transient
    assert again != ("Renew or repair the license file" in found.reason)


def test_the_last_day_of_an_expired_license_is_told(put):
    put(BROKEN["expired"].lines)
    assert probe().expires == date(2020, 1, 31)


def test_a_license_file_that_is_not_there_is_named(monkeypatch, tmp_path):
    missing = tmp_path / "nowhere" / "gurobi.lic"
    monkeypatch.setenv("GRB_LICENSE_FILE", str(missing))
    found = probe()
    assert found.kind is LicenseKind.NONE
    assert "Unable to open Gurobi license file" in found.reason
    assert str(missing) in found.reason


def test_a_folder_in_place_of_the_license_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("GRB_LICENSE_FILE", str(tmp_path))
    found = probe()
    assert found.kind is LicenseKind.NONE
    assert "points to a directory" in found.reason


def test_the_home_directory_is_where_gurobipy_looks_too(monkeypatch, tmp_path):
    (tmp_path / "gurobi.lic").write_text(BROKEN["token server silent"].lines)
    monkeypatch.delenv("GRB_LICENSE_FILE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert license_file() == tmp_path / "gurobi.lic"
    assert "Failed to connect to token server '127.0.0.1'" in probe().reason


def test_secrets_show_up_nowhere(put, capfd, caplog):
    caplog.set_level("DEBUG")
    put(BROKEN["web license without network"].lines)
    found = probe()
    answer = solve(dense_problem(), "gurobi", gap=0.5, time_limit=2.0, fallback="lagrangian")
    said = "".join([repr(found), str(answer.fallback), *capfd.readouterr(), caplog.text])
    assert "token.gurobi.com" in said
    assert SECRET not in said


def test_a_probe_gives_the_license_back_unless_it_was_held():
    probe()
    assert not ENVIRONMENT.held
    solve(dense_problem(), "gurobi", gap=0.5)
    probe()
    assert ENVIRONMENT.held


def test_the_number_of_tokens_can_be_given(monkeypatch):
    monkeypatch.setenv(TOKENS, "3")
    assert probe().tokens == 3
    monkeypatch.setenv(TOKENS, "many")
    with pytest.raises(ConfigError, match=f"{TOKENS} is 'many': give the number of processes"):
        probe()


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (10009, "Request denied: use limit (1) exceeded", True),
        (10009, "All tokens currently in use", True),
        (10009, "Single-use license. Another Gurobi process running.", True),
        (10009, "Did not receive reasonable data from token server 'x' (port 1) failed", True),
        (10030, "Overage for too long, 4 active sessions and over the baseline for 34 min", True),
        (10023, "Job rejected by compute server", True),
        (10009, "Request denied: user 'x' not in authorized user list", False),
        (10009, "Request denied: license not valid for Gurobi version 10", False),
        (10009, "token server must run outside of a container environment", False),
        (10010, "Model too large for size-limited license", False),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(code, text, expected):
    assert is_transient(code, text) is expected


MISSING = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules["gurobipy"] = sys.modules["highspy"] = None  # as if neither were installed
from selection_problems import dense_problem
from qpmstudy.errors import NotInstalledError
from qpmstudy.selection import solve
from qpmstudy.selection.licenses import probe
print(probe().kind.value, "|", probe().tokens, "|", probe().reason)
for solver in ("gurobi", "highs"):
    try:
        solve(dense_problem(), solver)
    except NotInstalledError as error:
        print(error)
    answer = solve(dense_problem(), solver, gap=0.5, fallback="lagrangian")
    print(answer.solver, "|", answer.fallback)
answer = solve(dense_problem(), gap=0.5)
print(answer.solver, "|", answer.fallback)
"""


def test_packages_that_are_missing_are_named_and_stood_in_for():
    done = subprocess.run(
        [sys.executable, "-c", MISSING, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    license_line, *lines = done.stdout.splitlines()
    assert license_line.startswith("none | 0 | The license 'gurobi' needs the package 'gurobipy'")
    gurobi, highs = (
        f"The selection solver {solver!r} needs the package {package!r}, which is not installed: "
        f"pip install -c constraints.txt -e {what}"
        for solver, package, what in (
            ("gurobi", "gurobipy", "."),
            ("highs", "highspy", "'.[highs]'"),
        )
    )
    instead = "lagrangian | "
    assert lines == [gurobi, instead + gurobi, highs, instead + highs, instead + gurobi]
