"""Damaged stages, files of another time, a full disk: a study names them and goes on."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from command import Finished, here
from small_disk import fill, mounted
from storage.layout import StorageRoot, StudyFolder
from storage.results import schema

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("warm_ray")]

CIRCUMSTANCES = ("committed", "seconds", "reused.", "host", "command", "versions", "device.")


def facts(folder: StudyFolder) -> list[dict[str, Any]]:
    """Return what the rows say, without when and where it was found out."""
    return [
        {name: value for name, value in row.items() if not name.startswith(CIRCUMSTANCES)}
        for row in folder.results.rows()
    ]


def test_damaged_stages_are_computed_again_and_the_rows_are_the_same(
    finished: Finished, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(finished.root, root)
    storage = StorageRoot(root)
    folder = storage.study("smoke")
    expected = facts(folder)
    first, second = (row for row in folder.results.rows() if row["trial"] == 1)
    flipped = storage.artifacts.path("finetune", first["key.finetune"]) / "tensors.safetensors"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 4
    flipped.write_bytes(content)
    short = storage.artifacts.path("evaluate", second["key.evaluate"]) / "facts.json"
    short.write_bytes(short.read_bytes()[:-9])
    for row in (first, second):
        folder.results.path(1, row["seed"]).unlink()
    columns = schema(("test", "shift"))
    for row in folder.results.rows():  # what is left was committed by a clock decades ahead
        folder.results.commit(row | {"committed": 4e9}, columns)
    for path in root.rglob("*"):
        os.utime(path, (4e9, 4e9))

    again = here("study", "launch", finished.study, "--root", root)
    assert again.code == 0, again.err
    assert facts(folder) == expected
    computed = [line.split()[:3] for line in again.out.splitlines() if " computed " in line]
    counts = {stage: int(number) for stage, _, number in computed}
    assert counts == {"dense": 0, "evaluate_dense": 0, "select": 0, "finetune": 1, "evaluate": 1}
    for path in (flipped, short):
        assert storage.artifacts.manifest(path.parents[2].name, path.parent.name) is not None


def test_on_a_full_disk_a_study_stops_and_goes_on_once_there_is_room(
    finished: Finished, tmp_path: Path
) -> None:
    """The disk is no fault of a trial: none fails, and nothing that was finished is lost."""
    with mounted(tmp_path / "disk", "96m") as disk:
        root = disk / "runs"
        shutil.copytree(finished.root, root)
        storage = StorageRoot(root)
        folder = storage.study("smoke")
        expected = facts(folder)
        for row in folder.results.rows():
            if row["trial"] == 1:
                storage.artifacts.discard("evaluate", row["key.evaluate"])
                folder.results.path(1, row["seed"]).unlink()
        filler = fill(disk, leave=2**15)
        full = here("study", "launch", finished.study, "--root", root)
        assert full.code == 1, full.out
        assert "No space left" in full.err + full.out
        assert "Traceback" not in full.err + full.out, full.err[-3000:]
        kept = facts(folder)  # a row may just have fitted in
        assert [row for row in kept if row["trial"] == 0] == expected[:2]
        assert all(row in expected for row in kept)
        assert list(root.glob("_artifacts/*/*/.*")) == []
        filler.unlink()
        again = here("study", "launch", finished.study, "--root", root)
        assert again.code == 0, again.err
        assert facts(folder) == expected
