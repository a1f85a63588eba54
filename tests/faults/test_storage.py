"""Storage that fails: full, read-only, dated by a wrong clock, wanted by two. No cluster needed.

What a study does about a full disk and damaged files is in tests/commands/test_damage.py.
"""

import itertools
import os
import resource
import subprocess
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.plan import reconcile
from cluster.trial_ledger import TrialLedger
from command import here, refused, smoke_study
from qpmstudy.config import flatten, with_values
from qpmstudy.errors import ConfigError, UnwritableError
from qpmstudy.files import write_json
from qpmstudy.stages import StageOutput
from small_disk import fill, mounted
from storage.artifacts import ArtifactStore
from storage.driver_lock import driver_lock
from storage.layout import StorageRoot, StudyFolder
from storage.results import ResultTable, schema
from storage.study import StudySpec, grid, load_study, parse_study
from storage.study.space import settings

KEY = "ab" * 32
SCHEMA = schema(["test"])

SPEC = parse_study(
    {
        "name": "s",
        "pipeline": {"embeddings": {"dataset": "birds-smoke"}},
        "space": {"finetune.l1_fm": {"values": [0, 1, 4]}},
        "seeds": 2,
    },
    "s.yaml",
)


def output(megabytes: float) -> StageOutput:
    return StageOutput({"x": torch.ones(int(megabytes * 2**18))}, {"n": megabytes})


def row(spec: StudySpec, trial: int, seed: int, **values: Any) -> dict[str, Any]:
    chosen = settings(spec.parameters, grid(spec.parameters)[trial])
    return {
        "study": spec.name,
        "trial": trial,
        "seed": seed,
        "status": "COMPLETE",
        "accuracy": 0.5 + 0.1 * trial,
        "plausibility": 0.8 - 0.1 * seed,
        **flatten(with_values(spec.pipeline, chosen)),
        **values,
    }


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    with mounted(tmp_path / "disk", "2m") as disk:
        yield disk


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() or path.name.startswith(".")}


def test_on_a_full_disk_a_stage_is_refused_whole_and_goes_on_once_there_is_room(
    small_disk: Path,
) -> None:
    store = ArtifactStore(small_disk / "artifacts")
    store.write("dense", KEY, output(0.5), 1.0)
    before = files(small_disk)
    other = "cd" * 32
    with pytest.raises(
        UnwritableError,
        match=rf"dense/cd/{other} cannot be written: No space left.*Free space there",
    ):
        store.write("dense", other, output(3), 1.0)
    assert files(small_disk) == before  # nothing half-written takes up what is left
    assert store.manifest("dense", other) is None
    assert store.manifest("dense", KEY) is not None
    store.discard("dense", KEY)
    store.write("dense", other, output(1.4), 1.0)
    assert store.manifest("dense", other) is not None


def test_on_a_full_disk_a_row_is_refused_and_the_old_one_stays(small_disk: Path) -> None:
    table = ResultTable(small_disk / "results")
    table.commit(row(SPEC, 0, 0), SCHEMA)
    filler = fill(small_disk)
    for trial in (0, 1):
        with pytest.raises(
            UnwritableError,
            match=rf"trial-0000{trial}-seed-000.parquet cannot be written: No space",
        ):
            table.commit(row(SPEC, trial, 0, accuracy=0.9), SCHEMA)
    assert [found["accuracy"] for found in table.rows()] == [0.5]
    assert files(table.directory) == {table.path(0, 0)}
    filler.unlink()
    table.commit(row(SPEC, 1, 0), SCHEMA)
    assert len(table.rows()) == 2


def test_a_limit_on_the_size_of_files_is_told_as_such(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(UnwritableError, match=r"File too large.*ulimit -f"):
            store.write("dense", KEY, output(2), 1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == set()
    store.write("dense", KEY, output(2), 1.0)
    assert store.manifest("dense", KEY) is not None


def test_read_only_storage_can_be_looked_at_and_refuses_the_rest(
    small_disk: Path, tmp_path: Path
) -> None:
    study = smoke_study(tmp_path)
    spec = load_study(study)
    folder = StorageRoot(small_disk).study(spec.name)
    write_json(folder.spec, spec.canonical())
    for trial, seed in itertools.product(range(2), range(2)):
        folder.results.commit(row(spec, trial, seed), SCHEMA)
    folder.lock.touch()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], timeout=20, check=True)
    before = files(small_disk)
    for words in (("status", "smoke"), ("show", "smoke"), ("show", "smoke", 1), ("plan", study)):
        result = here("study", *words, "--root", small_disk)
        assert result.code == 0, result.err
    cancelled = here("study", "cancel", "smoke", "--root", small_disk)
    assert "is not running" in cancelled.out
    for words in (("launch", study), ("pareto", "smoke"), ("gc",)):
        result = here("study", *words, "--root", small_disk)
        refused(result, 1, str(small_disk), "Read-only file system", "choose another folder")
    assert files(small_disk) == before


@pytest.mark.parametrize("clock", [0.0, 4e9, float("-inf")])
def test_no_clock_decides_what_is_left_to_do(tmp_path: Path, clock: float) -> None:
    """Rows and stages of a host whose clock is decades off are rows and stages."""
    folder = StudyFolder(tmp_path / "s")
    ledger = TrialLedger(folder.ledger, SPEC)
    for _ in range(3):
        ledger.deal()
    now = time.time()
    for trial, seed in ((0, 0), (0, 1), (1, 1)):
        stamp = clock if seed else now
        folder.results.commit(row(SPEC, trial, seed, committed=stamp), SCHEMA)
        stamp = max(0, stamp)
        os.utime(folder.results.path(trial, seed), (stamp, stamp))
    plan = reconcile(SPEC, ledger, folder.results)
    assert plan.complete == 1
    assert [(r["trial"], r["seed"]) for r in plan.rows] == [(0, 0), (0, 1), (1, 1)]
    assert plan.stale == []
    store = ArtifactStore(tmp_path / "artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.artifacts.time.time", lambda: max(0, clock))
        store.write("dense", KEY, output(0.1), 1.0)
    assert store.manifest("dense", KEY) is not None


def test_of_drivers_that_start_at_once_one_runs(tmp_path: Path) -> None:
    """Each drops its lock file where it made nothing else: nobody may lock what is gone."""
    lock, alone = tmp_path / "s" / "driver.lock", tmp_path / "alone"
    deadline = time.monotonic() + 2
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os._exit(_compete(lock, alone, deadline))
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert 1 not in ends, "two drivers held one study at once"
    assert 3 not in ends, "a driver fell over another's traces"
    assert 0 in ends, "nobody ran"
    assert not alone.exists()


def _compete(lock: Path, alone: Path, deadline: float) -> int:
    won = 0
    while time.monotonic() < deadline:
        try:
            with driver_lock(lock):
                try:
                    os.close(os.open(alone, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    return 1
                time.sleep(0.001)
                alone.unlink()
                won += 1
        except ConfigError:
            continue
        except BaseException:
            traceback.print_exc()
            return 3
    return 0 if won else 2


def test_whoever_only_looks_does_not_keep_a_driver_out(tmp_path: Path) -> None:
    """`study status` holds the lock for a moment to see whether it could."""
    lock = tmp_path / "s" / "driver.lock"
    with driver_lock(lock):
        (lock.parent / "study.json").touch()
    child = os.fork()
    if child == 0:
        import fcntl

        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            (tmp_path / "looking").touch()
            time.sleep(0.1)
        os._exit(0)
    while not (tmp_path / "looking").exists():
        time.sleep(0.001)
    with driver_lock(lock):
        pass
    os.waitpid(child, 0)
