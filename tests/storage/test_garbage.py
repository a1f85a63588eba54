"""What is removed is what nothing needs, and a kill in between loses nothing."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.pending import pending_configurations
from qpmstudy import files
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.files import write_json
from qpmstudy.stage_graph import STAGES
from qpmstudy.stages import StageOutput
from storage.driver_lock import driver_lock, removal_lock
from storage.garbage import Findings, find, remove
from storage.layout import StorageRoot
from storage.results import schema
from storage.summary import summarise

STRAY = "5a" * 32


def stray(root: StorageRoot, key: str = STRAY) -> Path:
    """Store a result that no row names."""
    root.artifacts.write("dense", key, StageOutput({"x": torch.ones(9)}, {}), 1.0)
    return root.artifacts.path("dense", key)


@pytest.fixture
def own_copy(own_copy: Any) -> Any:
    """A root with one study and its stages: others may have run where the copy was made."""
    root, name = own_copy.root, own_copy.spec.name
    for folder in root.path.glob("[!_.]*"):
        if folder.name != name:
            shutil.rmtree(folder)
    named = keys(root.study(name).results.rows())
    for path in root.artifacts.root.glob("*/*/*"):
        if path.name not in named:
            shutil.rmtree(path)
    return own_copy


def collect(root: StorageRoot, keep: Any = "needed", grace: float = 0) -> Findings:
    found = find(root, pending_configurations, keep, grace)
    assert list(remove(found.rubbish)) == list(found.rubbish)
    return found


def stored(root: StorageRoot) -> set[str]:
    return {path.name for path in root.artifacts.root.glob("*/*/*")}


def keys(rows: Iterable[dict[str, Any]]) -> set[str]:
    return {row[f"key.{stage}"] for row in rows for stage in STAGES}


def launched(own_copy: Any) -> Any:
    """Return the study's folder with its specification, as a launch leaves it."""
    folder = own_copy.root.study(own_copy.spec.name)
    write_json(folder.spec, own_copy.spec.canonical())
    return folder


def test_only_what_no_row_names_is_removed(own_copy: Any) -> None:
    rows = launched(own_copy).results.rows()
    path = stray(own_copy.root)
    pictures = [
        own_copy.root.overlays / key[:2] / f"{key}.jpg" for key in (STRAY, rows[0]["key.evaluate"])
    ]
    for picture in pictures:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(b"123")
    size = sum(file.stat().st_size for file in path.iterdir())
    before = stored(own_copy.root)
    looked = find(own_copy.root, pending_configurations, grace=0)
    assert path.exists()  # looking changes nothing
    found = collect(own_copy.root)
    assert found == looked
    assert [(r.path, r.kind, r.bytes) for r in found.rubbish] == [
        (path, "dense", size),
        (pictures[0], "overlay", 3),
    ]
    assert [picture.exists() for picture in pictures] == [False, True]
    assert stored(own_copy.root) == before - {STRAY} == keys(rows)
    assert found.kept == len(keys(rows))
    assert collect(own_copy.root).rubbish == ()


def test_of_finished_studies_the_front_alone_can_be_kept(own_copy: Any) -> None:
    folder = launched(own_copy)
    for row in folder.results.rows():  # trial 0 is better in all
        worth = 0.9 - 0.4 * row["trial"]
        folder.results.commit(
            row | {"accuracy": worth, "plausibility": worth}, schema(("test", "shift"))
        )
    rows = folder.results.rows()
    assert [c.trial for c in summarise(rows, own_copy.spec) if c.on_front] == [0]
    collect(own_copy.root, "front")
    assert stored(own_copy.root) == keys(row for row in rows if row["trial"] == 0)
    assert folder.results.rows() == rows


def test_another_study_protects_what_it_shares(own_copy: Any) -> None:
    folder = launched(own_copy)
    rows = folder.results.rows()
    other = own_copy.root.study("other")
    shutil.copytree(folder.path, other.path)
    write_json(other.spec, own_copy.spec.canonical() | {"name": "other"})
    shutil.rmtree(folder.path)
    collect(own_copy.root)
    assert stored(own_copy.root) == keys(rows)


def test_rows_without_a_specification_protect_what_they_name(own_copy: Any) -> None:
    folder = launched(own_copy)
    folder.spec.unlink()
    collect(own_copy.root, "front")
    assert stored(own_copy.root) == keys(folder.results.rows())


def test_an_unfinished_study_keeps_what_it_will_ask_for(own_copy: Any) -> None:
    folder = launched(own_copy)
    needed = keys(folder.results.rows())
    for path in folder.results.directory.glob("trial-00001-*"):
        path.unlink()  # computed, and killed before its rows were committed
    collect(own_copy.root, "front")
    assert stored(own_copy.root) == needed
    shutil.rmtree(own_copy.root.path / "_embeddings")
    stray(own_copy.root)
    with pytest.raises(DataError, match=r"'tiny' is unfinished.*embeddings.*Nothing was removed"):
        collect(own_copy.root)
    assert stored(own_copy.root) == needed | {STRAY}


def test_a_damaged_row_stops_everything(own_copy: Any) -> None:
    """Its keys cannot be read: what it needs would be taken for rubbish."""
    folder = launched(own_copy)
    before = stored(own_copy.root)
    folder.results.path(0, 0).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"seed-000.parquet is damaged"):
        collect(own_copy.root)
    assert stored(own_copy.root) == before


def test_what_is_young_stays_whatever_the_clock_says(tmp_path: Path) -> None:
    root = StorageRoot(tmp_path)
    path = stray(root)
    found = collect(root, grace=60)
    assert (found.rubbish, found.kept, found.young) == ((), 1, 1)
    for file in (path, *path.iterdir()):
        os.utime(file, (4e9, 4e9))  # written by a host whose clock runs ahead
    assert collect(root, grace=60).rubbish == ()
    for file in (path, *path.iterdir()):
        os.utime(file, (1e9, 1e9))
    assert [one.path for one in collect(root, grace=60).rubbish] == [path]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    root = StorageRoot(tmp_path)
    left = [
        tmp_path / "_datasets" / ".birds.x1",
        tmp_path / "_artifacts" / "dense" / "5a" / f".{STRAY}.x2",
        tmp_path / "s" / "results" / ".trial-00000-seed-000.parquet.x3",
        tmp_path / "s" / ".study.json.x4",
    ]
    for path in left[:2]:
        path.mkdir(parents=True)
        (path / "half").write_bytes(b"12345")
    for path in left[2:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    (tmp_path / "s" / "driver.log").write_text("stays")
    assert collect(root, grace=60).rubbish == ()
    found = collect(root)
    assert {(one.path, one.kind, one.bytes) for one in found.rubbish} == {
        (path, "leftover", 5) for path in left
    }
    assert not any(path.exists() for path in left)
    assert (tmp_path / "s" / "driver.log").exists()


def test_killed_in_between_a_result_is_whole_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = StorageRoot(tmp_path)
    path, other = stray(root), stray(root, "5b" * 32)

    def killed(_: Path) -> None:
        raise KeyboardInterrupt("killed")

    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt, match="killed"):
            collect(root)
    assert root.artifacts.manifest("dense", STRAY) is None
    assert not path.exists()
    assert root.artifacts.manifest("dense", other.name) is not None
    assert {one.kind for one in collect(root).rubbish} == {"dense", "leftover"}
    assert [path for path in root.artifacts.root.rglob("*") if path.is_file()] == []


def test_nobody_removes_while_a_driver_runs_nor_the_other_way_round(tmp_path: Path) -> None:
    lock = tmp_path / "a" / "driver.lock"
    with driver_lock(lock):
        with pytest.raises(ConfigError, match="A study is running"), removal_lock(tmp_path):
            pass
        with driver_lock(tmp_path / "b" / "driver.lock"):  # drivers do not keep each other out
            pass
    with removal_lock(tmp_path):
        with pytest.raises(ConfigError, match="are being removed"), driver_lock(lock):
            pass
        assert not lock.parent.exists()
    with driver_lock(lock):
        pass


def test_a_sampler_study_keeps_what_it_dealt(own_copy: Any) -> None:
    """Its ledger knows the configurations that have no row yet."""
    from cluster.trial_ledger import TrialLedger
    from storage.study import parse_study

    content = json.loads(json.dumps(own_copy.spec.canonical()))
    content |= {"sampler": "random", "trials": 9}
    spec = parse_study(content, "tiny")
    folder = launched(own_copy)
    write_json(folder.spec, spec.canonical())
    needed = keys(folder.results.rows())
    ledger = TrialLedger(folder.ledger, spec)
    dealt = {json.dumps(ledger.deal().chosen, sort_keys=True) for _ in range(9)}
    assert len(dealt) == 2  # both values of the space
    shutil.rmtree(folder.results.directory)
    stray(own_copy.root)
    collect(own_copy.root)
    assert stored(own_copy.root) == needed
