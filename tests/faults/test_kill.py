"""Killing the driver, a stage's worker and a trial's coordinator: nothing is lost or done twice."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import psutil
import pyarrow.parquet as pq
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from command import refused, run, smoke_study, start
from faults.family import becomes, command, family, working
from faults.rows import facts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VALUES = "[0, 1, 2]"
EPOCHS = 8  # long enough that a kill lands in the middle
LEASE = 4.0  # seconds; importing torch may hold up every thread of a process for one or two


@pytest.fixture(scope="module")
def uninterrupted(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    root = shutil.copytree(embedded, folder / "runs")
    study = smoke_study(folder, values=VALUES, epochs=EPOCHS)
    result = run("study", "launch", study, "--root", root, timeout=400)
    assert result.code == 0, result.err
    return facts(root)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the moment to kill at never came"
        time.sleep(0.05)


def computing(driver: "subprocess.Popen[str]", stage: str) -> list[psutil.Process]:
    """Return the processes of a driver's cluster that compute a stage."""
    return [one for one in family(driver.pid) if command(one).startswith(f"ray::{stage}")]


def artifacts(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.glob("_artifacts/*/*/*/manifest.json")}


def states(root: Path) -> list[str]:
    """Return what the ledger says of each trial."""
    journal = JournalStorage(JournalFileBackend(str(root / "smoke" / "ledger.journal")))
    trials = optuna.load_study(study_name="smoke", storage=journal).trials
    return [trial.state.name for trial in trials]


def stop_all_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Halt a driver and its cluster; return the processes of the cluster."""
    process.send_signal(signal.SIGSTOP)
    halted: list[psutil.Process] = []
    while new := [one for one in family(process.pid) if one not in halted]:
        for one in new:  # until none is left that could start another
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        halted += new
    return halted


def killed(process: "subprocess.Popen[str]", others: "list[psutil.Process]", dies: str) -> None:
    """Kill a driver that was halted with its cluster: alone, or everything at once."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for one in others:
        with suppress(psutil.NoSuchProcess):
            (one.kill if dies == "machine" else one.resume)()
    assert process.returncode == -signal.SIGKILL
    assert len(others) > 3
    assert becomes(lambda: not any(map(working, others)), 60), "it left its cluster behind"


def test_killed_again_and_again_it_goes_on_to_the_same_rows(
    fresh_root: Path, tmp_path: Path, uninterrupted: list[dict[str, Any]]
) -> None:
    """The driver alone is killed before the first row; then everything at once, after the third."""
    study = smoke_study(tmp_path, values=VALUES, epochs=EPOCHS)

    def rows() -> dict[Path, bytes]:
        return {
            path: path.read_bytes() for path in (fresh_root / "smoke" / "results").glob("*.parquet")
        }

    def middle(finished: int, committed: int) -> bool:
        return len(artifacts(fresh_root)) > finished and len(rows()) >= committed

    finished: dict[Path, int] = {}
    for dies, committed in (("driver", 0), ("machine", 3)):
        process = start("study", "launch", study, "--root", fresh_root)
        wait_for(partial(middle, len(finished), committed), process)
        others = stop_all_of(process)
        kept = rows()
        assert committed <= len(kept) < len(uninterrupted), "it was not killed in the middle"
        killed(process, others, dies)
        assert rows().items() >= kept.items()
        if dies == "machine":
            assert rows() == kept
        assert artifacts(fresh_root).items() >= finished.items()
        finished = artifacts(fresh_root)

    again = run("study", "launch", study, "--root", fresh_root, timeout=400)
    assert again.code == 0, again.err
    assert facts(fresh_root) == uninterrupted
    assert artifacts(fresh_root).items() >= finished.items()
    assert rows().items() >= kept.items()
    assert states(fresh_root) == ["COMPLETE"] * 3


def test_a_clock_that_jumps_by_a_day_every_second_changes_nothing(
    fresh_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: list[dict[str, Any]],
) -> None:
    """The clock of the driver and of every worker; Ray, Tune and Optuna read it, too."""
    study = smoke_study(tmp_path, values="[0]", epochs=EPOCHS)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("jumping_clock")))
    begun = time.time()
    result = run("study", "launch", study, "--root", fresh_root, timeout=400)
    assert result.code == 0, result.err
    assert facts(fresh_root) == [row for row in uninterrupted if row["trial"] == 0]
    written = [
        json.loads(path.read_text())["written"] - begun
        for path in fresh_root.glob("_artifacts/*/*/*/manifest.json")
    ]
    assert max(written) - min(written) > 40_000, "the clock did not jump"


def test_interrupted_driver_says_so_and_leaves_no_cluster(fresh_root: Path, tmp_path: Path) -> None:
    """One stage hears no interrupt, as in a call into C that does not give Python a turn."""
    process = start("study", "launch", smoke_study(tmp_path, epochs=1000), "--root", fresh_root)
    wait_for(lambda: computing(process, "dense"), process)
    (deaf, *_) = computing(process, "dense")
    deaf.suspend()
    cluster = family(process.pid)
    assert deaf in cluster
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "Stopped. Nothing finished is lost: run the same command again.\n"
    assert len(cluster) > 3
    assert not any(map(working, cluster))


VICTIMS = ("ray::StageLedger", "ray::ResourceTrainable.train", "ray::finetune")
"""The ledger, a coordinator, a stage's worker: in the order in which a study has them."""


def test_killed_processes_of_a_study_do_not_fail_it(
    fresh_root: Path, tmp_path: Path, uninterrupted: list[dict[str, Any]]
) -> None:
    """One after the other, each as soon as it is there; the last may meet what the first left."""
    study = smoke_study(tmp_path, values=VALUES, epochs=EPOCHS)
    process = start("study", "launch", study, "--root", fresh_root)

    found: list[psutil.Process] = []

    def is_up(victim: str) -> bool:
        found[:] = [one for one in family(process.pid) if command(one).startswith(victim)]
        return bool(found)

    for victim in VICTIMS:
        wait_for(partial(is_up, victim), process)
        found[0].kill()
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err + out
    assert facts(fresh_root) == uninterrupted


def test_a_process_that_stands_still_is_taken_for_lost_unless_everything_does(
    fresh_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: list[dict[str, Any]],
) -> None:
    """The machine sleeps for longer than the lease; then one process is stopped, and stays so."""
    study = smoke_study(tmp_path, values="[0]", epochs=EPOCHS)
    monkeypatch.setenv("QPMSTUDY_LEASE", str(LEASE))
    process = start("study", "launch", study, "--root", fresh_root)

    wait_for(lambda: computing(process, "dense"), process)
    asleep = stop_all_of(process)
    time.sleep(1.2 * LEASE)
    for one in [*asleep, psutil.Process(process.pid)]:
        one.resume()
    wait_for(lambda: computing(process, "finetune"), process)
    (stopped, *_) = computing(process, "finetune")
    stopped.suspend()
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err + out
    assert err.count("gave no sign of life") == 1, err
    assert re.search(
        rf"WARNING: finetune: process {stopped.pid} on \S+ gave no sign of life for {LEASE:g} s "
        "and was killed; the stage is computed again",
        err,
    )
    assert not stopped.is_running()
    assert facts(fresh_root) == [row for row in uninterrupted if row["trial"] == 0]
    assert states(fresh_root) == ["COMPLETE"]


def test_killed_solve_loses_neither_its_token_nor_the_study(
    fresh_root: Path, tmp_path: Path
) -> None:
    """With one token, the selection of the other seed could never begin if it were lost."""
    study = smoke_study(tmp_path, values="[0]", seeds=2)
    easy = "select: {features: 10, per_class: 3, gap: 0.2, solver: lagrangian}"
    hard = "select: {features: 50, per_class: 5, gap: 0, time_limit: 20, solver: auto}"
    text = study.read_text().replace("features: 32", "features: 160").replace(easy, hard)
    assert hard in text
    study.write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("QPMSTUDY_GUROBI_TOKENS", "1")
        process = start("study", "launch", study, "--root", fresh_root)
    wait_for(lambda: computing(process, "select"), process)
    computing(process, "select")[0].kill()
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err + out
    rows = pq.read_table(fresh_root / "smoke" / "results").to_pylist()
    assert {row["seed"]: row["status"] for row in rows} == {0: "COMPLETE", 1: "COMPLETE"}


def test_second_driver_is_refused_while_the_first_runs_and_a_cancelled_one_stops(
    fresh_root: Path, tmp_path: Path
) -> None:
    study = smoke_study(tmp_path, epochs=1000)  # still running when the last line is reached
    first = start("study", "launch", study, "--root", fresh_root)
    wait_for((fresh_root / "smoke" / "ledger.journal").exists, first)
    second = run("study", "launch", study, "--root", fresh_root)
    status = run("study", "status", "smoke", "--root", fresh_root)
    assert first.poll() is None
    cluster = family(first.pid)
    refused(second, 2, "another driver", f"process {first.pid}")
    assert "smoke: running, 0 of 4 runs" in status.out
    cancelled = run("study", "cancel", "smoke", "--wait", 60, "--root", fresh_root)
    assert (cancelled.code, "smoke is stopped" in cancelled.out) == (0, True), cancelled.err
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130
    assert err == "Stopped. Nothing finished is lost: run the same command again.\n"
    assert not any(map(working, cluster))
    assert "smoke: stopped" in run("study", "status", "smoke", "--root", fresh_root).out
