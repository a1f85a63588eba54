"""kill -9 at any moment of an extraction: the next run ends in the same bytes."""

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import killed_extraction
from content import content
from dataset_layouts import make_folder
from killed_extraction import IMAGES, ROWS, SlowPixels
from qpmstudy.datasets import ImageDataset, open_dataset
from storage import new_store
from storage.embeddings import EmbeddingStore, is_complete
from storage.extraction import extract
from storage.groups import is_finished, open_group
from storage.places import Place, place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHARDS = -(-IMAGES // ROWS)


@dataclass(frozen=True)
class Uninterrupted:
    """Pictures, and the store that they end in."""

    data: Path
    images: ImageDataset
    expected: dict[str, bytes]
    seconds: float


@pytest.fixture
def uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uninterrupted:
    monkeypatch.setattr(new_store, "SHARD_BYTES", new_store.SHARD_BYTES)  # restored afterwards
    monkeypatch.setattr(new_store, "CHUNK_BYTES", new_store.CHUNK_BYTES)
    killed_extraction.small_shards()
    data = make_folder(tmp_path / "data", train=6, test=3)
    images = open_dataset("folder-killed", data)
    start = time.monotonic()
    extract(images, SlowPixels(), tmp_path / "whole", batch=3, workers=0)
    return Uninterrupted(data, images, content(tmp_path / "whole"), time.monotonic() - start)


def state(where: Place) -> tuple[set[int], bool]:
    """Return which shards of a store count, and whether it says that it is complete."""
    group = open_group(where, "r")
    if group is None or "fingerprint" not in group.attrs:
        return set(), False
    return set(EmbeddingStore(where, group).checksums), is_finished(group)


def killed(whole: Uninterrupted, where: Place, workers: int, shards: float) -> None:
    """Kill an extraction at the moment at which it has written so many shards."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_extraction"])
    begun = context.Event()
    arguments = (whole.data, where, workers, dict(os.environ), begun)
    process = context.Process(target=killed_extraction.run, args=arguments)
    process.start()
    assert begun.wait(120)
    last = int(shards) - 1
    while last >= 0 and process.is_alive() and not is_there(where, f"patches/c/{last}/0/0"):
        time.sleep(0.002)
    time.sleep(whole.seconds / SHARDS * (shards % 1))
    process.kill()  # SIGKILL; one that is done already is a kill after the end
    process.join()


def is_there(where: Place, file: str) -> bool:
    if isinstance(where, Path):
        return (where / file).exists()
    system, path = where.opened()
    return bool(system.exists(f"{path}/{file}"))


def goes_on(whole: Uninterrupted, where: Place) -> int:
    """Check a killed extraction and the next one; return how many shards the first one left."""
    shards, complete = state(where)
    assert not complete or len(shards) == SHARDS
    assert complete == is_complete(where)
    kept = {shard: written_at(where, shard) for shard in shards}
    backbone = SlowPixels()
    extract(whole.images, backbone, where, batch=3, workers=0)
    assert content(where) == whole.expected
    rows = sum(min(ROWS, IMAGES - shard * ROWS) for shard in shards)
    assert backbone.embedded == IMAGES - rows  # only what was not there
    assert all(written_at(where, shard) == at for shard, at in kept.items())
    return len(shards)


def written_at(where: Place, shard: int) -> int:
    if not isinstance(where, Path):
        return 0
    return (where / f"patches/c/{shard}/0/0").stat().st_mtime_ns


def check_kills(whole: Uninterrupted, below: Place, workers: int, kills: int) -> None:
    """Kill as many extractions, each a little later than the one before."""
    rng = np.random.default_rng(workers)
    left = set()
    for kill in range(kills):
        where = below / f"killed-{kill}"
        killed(whole, where, workers, (SHARDS + 1) * (kill + rng.random()) / kills)
        left.add(goes_on(whole, where))
    # On a busy machine many land late; what is asked of each one does not depend on it.
    assert len(left) > 1, f"all {kills} kills landed at the same moment: {left}"


@pytest.mark.parametrize(
    ("workers", "kills"), [(0, 6), (1, 2), pytest.param(0, 20, marks=pytest.mark.long)]
)
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    workers: int, kills: int, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    """And computes only what was not there, and is never marked complete before it is."""
    check_kills(uninterrupted, tmp_path, workers, kills)


def test_killed_behind_a_url_it_goes_on_to_the_same_bytes(
    uninterrupted: Uninterrupted, bucket: str
) -> None:
    check_kills(uninterrupted, place(bucket), 0, 3)
