"""An object store that others have filled: a study computes all the same, the same numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError

from cluster.session import ray_session
from cluster.shared_embeddings import share
from cluster.stage_book import Decision
from cluster.stage_ledger import start_ledger
from cluster.stage_source import StageRequest
from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.errors import DataError
from storage.artifacts import ArtifactStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STORE = ("birds-smoke", "patch-descriptor")
CONFIG = with_values(
    PipelineConfig(), {"embeddings.dataset": STORE[0], "adapter.hidden": 16, "dense.epochs": 1}
)


def fill() -> list[Any]:
    """Fill the object store and return what keeps it full."""
    kept: list[Any] = []
    while True:
        try:
            kept.append(ray.put(np.zeros(2_000_000, np.uint8)))
        except (ObjectStoreFullError, OutOfDiskError):
            return kept


def raise_once_full() -> None:
    kept = []
    while True:
        kept.append(ray.put(np.zeros(2_000_000, np.uint8)))


def test_a_full_object_store_costs_memory_and_no_result(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray must not move objects to a disk, which is as if that were full, too
    monkeypatch.setenv("RAY_local_fs_capacity_threshold", "0.001")
    path = embedded / "_embeddings" / STORE[0] / STORE[1]
    found = []
    with ray_session(verbose=False, shared=80_000_000):
        for name in ("free", "full"):
            kept = fill() if name == "full" else []
            shared = share(path, *STORE)
            if kept:
                assert len(kept) > 10
                with pytest.raises(OutOfDiskError, match="object store is full"):
                    ray.get(list(shared.shards), timeout=60)
            store = ArtifactStore(tmp_path / name)
            request = StageRequest("dense", "ab" * 32, {}, CONFIG, 0)
            ledger = start_ledger(store, {})
            report = ray.get(ledger.obtain.remote(request, shared), timeout=120)
            assert report.decision is Decision.COMPUTE
            found.append(store.read("dense", request.key).tensors)
            ray.kill(ledger)
            del kept, shared
        # a driver that has no room for what its trials have in common
        full_store = pytest.raises(DataError, match="object store of the cluster is full")
        with full_store, ray_session(verbose=False):
            raise_once_full()
    free, full = found
    assert free.keys() == full.keys()
    assert all(value.equal(full[name]) for name, value in free.items())
