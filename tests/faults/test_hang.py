"""A stage hangs in one thread while another gives signs of life: its time limit ends it."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from command import run, smoke_study, start
from faults.family import becomes, command, family
from faults.rows import facts
from storage.embeddings import open_store
from storage.layout import StorageRoot
from storage.memory import needed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STORE = ("birds-smoke", "patch-descriptor")


@pytest.fixture
def shard(fresh_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of patch tokens that every training stage reads for itself, as it is needed."""
    path = StorageRoot(fresh_root).embeddings(*STORE)
    monkeypatch.setenv("QPMSTUDY_MEMORY", f"{needed(open_store(path, *STORE)) - 1}B")
    monkeypatch.setenv("QPMSTUDY_LEASE", "4")
    (found,) = (file for file in (Path(str(path)) / "patches" / "c").rglob("*") if file.is_file())
    return found


def limited(study: Path, limit: str) -> Path:
    """Write a study anew, with a time limit for its dense stage."""
    text = smoke_study(study.parent, values="[0]", seeds=1).read_text()
    study.write_text(f"{text}stages: {{dense: {{time_limit: {limit}}}}}\n")
    return study


def dense(driver: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return what computes a dense model in the cluster of a driver."""
    return [one for one in family(driver.pid) if command(one).startswith("ray::dense")]


@pytest.fixture
def hanging(shard: Path, tmp_path: Path) -> Path:
    """Where the shard is meanwhile: whoever opens it waits, as for a file server that is gone."""
    kept = shard.rename(tmp_path / "shard")
    os.mkfifo(shard)  # to which nobody writes
    return kept


def test_a_stage_that_hangs_is_ended_at_its_limit(
    fresh_root: Path, tmp_path: Path, hanging: Path
) -> None:
    study = limited(tmp_path / "smoke.yaml", "2s")
    failed = run("study", "launch", study, "--root", fresh_root, timeout=240)
    assert failed.code == 1, failed.err
    ended = "was not done after its time limit of 2s and was ended"
    assert f"{ended}; the stage is computed again" in failed.err
    assert f"{ended}; the stage is given up" in failed.err
    (row,) = facts(fresh_root)
    assert row["status"] == "FAIL"
    for words in (f"on {os.uname().nodename} {ended}", "'dense'", "stages.dense.time_limit"):
        assert words in row["error"]


@pytest.mark.long
def test_a_stage_that_hung_goes_on_once_what_it_reads_is_back(
    fresh_root: Path, tmp_path: Path, shard: Path, hanging: Path
) -> None:
    study = limited(tmp_path / "smoke.yaml", "25s")  # enough to import torch and to train
    driver = start("study", "launch", study, "--root", fresh_root)
    assert becomes(lambda: dense(driver), 120)
    (first,) = dense(driver)
    assert becomes(lambda: first not in dense(driver), 120)
    shard.unlink()
    hanging.rename(shard)  # before another process has imported torch and gets to it
    out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, err + out
    assert err.count("was not done after its time limit of 25s") == 1, err
    (row,) = facts(fresh_root)
    assert row["status"] == "COMPLETE"
