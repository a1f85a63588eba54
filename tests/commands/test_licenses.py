"""Gurobi licenses through the command line: what there is, what fails, who takes over."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from command import here, refused, run, smoke_study

NO_SERVER = "TOKENSERVER=127.0.0.1\nPORT=1\n"  # nothing listens there


@pytest.fixture
def without_license(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gurobi find a license whose token server does not answer."""
    path = tmp_path / "gurobi.lic"
    path.write_text(NO_SERVER)
    monkeypatch.setenv("GRB_LICENSE_FILE", str(path))


def gurobi_study(folder: Path, name: str, fallback: str) -> Path:
    path = smoke_study(folder, name, values="[0]", seeds=1)
    text = path.read_text().replace("solver: lagrangian", f"solver: gurobi, fallback: {fallback}")
    assert fallback in text
    path.write_text(text)
    return path


def test_the_license_that_comes_with_gurobipy_is_described() -> None:
    result = run("license")
    assert result.code == 0, result.err
    assert "license: size-limited" in result.out
    assert "2000 variables" in result.out


def test_tokens_are_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QPMSTUDY_GUROBI_TOKENS", "3")
    assert "tokens: 3 " in run("license").out
    monkeypatch.setenv("QPMSTUDY_GUROBI_TOKENS", "many")
    refused(run("license"), 2, "QPMSTUDY_GUROBI_TOKENS is 'many'")


@pytest.mark.usefixtures("without_license")
def test_a_license_that_fails_says_why() -> None:
    result = run("license")
    assert result.code == 0, result.err
    assert "Failed to connect to token server" in result.out
    assert "tokens: 0 " in result.out


@pytest.mark.slow
@pytest.mark.usefixtures("without_license")
def test_a_study_that_insists_on_gurobi_is_refused_before_anything_runs(
    fresh_root: Path, tmp_path: Path
) -> None:
    study = gurobi_study(tmp_path, "insists", "fail")
    result = here("study", "launch", study, "--root", fresh_root)
    refused(result, 2, "no node of the cluster offers a Gurobi token", "select.fallback")
    assert not (fresh_root / "insists" / "ledger.journal").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("warm_ray", "without_license")
def test_the_open_solver_takes_over_where_the_study_allows_it_and_the_row_tells(
    fresh_root: Path, tmp_path: Path
) -> None:
    study = gurobi_study(tmp_path, "allows", "lagrangian")
    result = here("study", "launch", study, "--root", fresh_root)
    assert result.code == 0, result.err + result.out
    (row,) = pq.read_table(fresh_root / "allows" / "results").to_pylist()
    assert row["qp_solver"] == "lagrangian"
    assert row["select.solver"] == "gurobi"
    assert "Gurobi token" in row["qp_fallback"]
