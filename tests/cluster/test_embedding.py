"""Extraction on a cluster of three nodes: the serial bytes, whatever is lost on the way."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import killed_on_ray
from cluster.embedding import fill_on_ray, share_of
from cluster.shared_embeddings import share
from command import here
from content import content
from dataset_layouts import make_folder
from killed_on_ray import ROWS, embedded
from qpmstudy.errors import DataError, StoreError
from storage.embeddings import EmbeddingStore, is_complete, open_store
from storage.groups import is_finished, open_group
from storage.places import place
from storage.shards import Work

# After cluster.session, which sets what ray reads when it is imported.
import ray  # isort: skip
from ray.cluster_utils import Cluster  # isort: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
IMAGES = 48


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "pictures", train=12, test=4)


@pytest.fixture(scope="module")
def serial(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a serial extraction writes."""
    path = tmp_path_factory.mktemp("serial") / "store"
    embedded(data, str(path))
    return content(path)


@pytest.fixture(scope="module")
def cluster(s3: str) -> Iterator[Any]:
    """A cluster whose head computes nothing; its nodes know where the bucket is."""
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    started.workers = [started.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=started.address, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


def written(path: Path) -> set[int]:
    """Return which shards of a store are recorded."""
    group = open_group(path, "r")
    if group is None or "fingerprint" not in group.attrs:
        return set()
    return set(EmbeddingStore(path, group).checksums)


def after(shards: int, then: Callable[[], object]) -> Any:
    """Return a `fill` on the cluster in which something happens after so many shards."""
    done = []

    def fill(work: Work, note: Any, images: Any) -> None:
        def noted(shard: int, digests: Any) -> None:
            note(shard, digests)
            done.append(shard)
            if len(done) == shards:
                then()

        fill_on_ray(None)(work, noted, images)

    return fill


def workers_of(name: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if " ".join(process.info["cmdline"] or []).startswith(f"ray::{name}")
    ]


@pytest.mark.parametrize(
    ("nodes", "backbone", "gpus"),
    [
        ([{"CPU": 8.0}], "dino-vits16", None),
        ([{"CPU": 8.0, "GPU": 1.0}], "pixels", None),  # it computes nothing
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0}], "dino-vits16@layer=11", 1 / 4),
        ([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 4.0, "GPU": 2.0}], "resnet50", 1 / 2),
        ([{"CPU": 2.0, "GPU": 4.0}], "dinov2-vitb14-reg", 1),
    ],
)
def test_networks_share_gpus(
    nodes: list[dict[str, float]], backbone: str, gpus: float | None
) -> None:
    expected = {"num_cpus": 1} if gpus is None else {"num_cpus": 1, "num_gpus": gpus}
    assert share_of(nodes, backbone) == expected


def test_the_command_embeds_on_the_cluster_into_a_bucket(
    cluster: Any, data: Path, serial: dict[str, bytes], bucket: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(killed_on_ray.new_store, "SHARD_BYTES", ROWS * killed_on_ray.ROW_BYTES)
    monkeypatch.setattr(killed_on_ray.new_store, "CHUNK_BYTES", ROWS * killed_on_ray.ROW_BYTES)
    arguments = ["embed", "--ray", "--dataset", "folder-killed", "--data", str(data), "--batch",
                 "3", "--embeddings", bucket, "--root", str(tmp_path / "runs")]  # fmt: skip
    result = here(*arguments)
    assert result.code == 0, result.err
    assert f"embedding folder-killed: {IMAGES} images" in result.out
    assert "images/s" in result.out
    store = place(bucket) / "folder-killed" / "patch-descriptor"
    assert f"{store}: complete" in result.out
    assert content(store) == serial
    assert not (tmp_path / "runs").exists()
    # a study's tasks read it from there
    shared = share(store, "folder-killed", "patch-descriptor").get()
    read = open_store(store, "folder-killed", "patch-descriptor")
    for shard, patches in enumerate(shared.patches):
        np.testing.assert_array_equal(patches, read.read_shard(shard))


def test_a_lost_worker_costs_nothing(
    cluster: Any, data: Path, serial: dict[str, bytes], tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill() -> None:
        for process in workers_of("embed_shard")[:1]:
            killed.append(process.pid)
            process.kill()

    embedded(data, str(tmp_path / "s"), after(3, kill))
    assert killed
    assert content(tmp_path / "s") == serial


def test_a_killed_driver_goes_on_with_what_is_missing(
    cluster: Any, data: Path, serial: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    command = [sys.executable, killed_on_ray.__file__, str(data), str(path)]
    roots = f"{Path(__file__).parents[2]}:{Path(__file__).parents[1]}"
    environment = {**os.environ, "RAY_ADDRESS": cluster.address, "PYTHONPATH": roots}
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 120
    while len(written(path)) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    left = written(path)
    assert not is_complete(path)
    at = {shard: (path / f"written/c/{shard}/0/0").stat().st_mtime_ns for shard in left}
    asked: list[tuple[int, ...]] = []

    def fill(work: Work, *told: Any) -> None:
        asked.append(work.shards)
        assert all((path / f"written/c/{s}/0/0").stat().st_mtime_ns == at[s] for s in left)
        fill_on_ray(None)(work, *told)

    embedded(data, str(path), fill)
    assert set(asked[0]) == set(range(IMAGES // ROWS)) - left
    assert content(path) == serial


@pytest.mark.parametrize("what", ["images", "store"])
def test_what_a_node_does_not_see_is_named_and_nothing_is_lost(
    what: str, cluster: Any, data: Path, serial: dict[str, bytes], tmp_path: Path
) -> None:
    path, away = tmp_path / "s", tmp_path / "away"
    hidden = data if what == "images" else path

    def fill(work: Work, *told: Any) -> None:
        hidden.rename(away)
        try:
            fill_on_ray(None)(work, *told)
        finally:
            away.rename(hidden)

    with pytest.raises(StoreError, match=f"The node .* does not see .*{hidden}: put .* share"):
        embedded(data, str(path), fill)
    group = open_group(path, "r")
    assert group is not None
    assert not is_finished(group)
    embedded(data, str(path))
    assert content(path) == serial


def test_a_broken_image_is_named_from_the_node(cluster: Any, data: Path, tmp_path: Path) -> None:
    mine = make_folder(tmp_path / "pictures", train=2, test=1)
    broken = next((mine / "train").rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:90])
    with pytest.raises(DataError, match=f"{broken.name} cannot be decoded"):
        embedded(mine, str(tmp_path / "s"), fill_on_ray(None))
    assert not (tmp_path / "s").exists()


def test_a_lost_node_costs_nothing(
    cluster: Any, data: Path, serial: dict[str, bytes], tmp_path: Path
) -> None:
    """The last test: the node stays away."""

    def lose() -> None:
        cluster.remove_node(cluster.workers.pop(), allow_graceful=False)

    embedded(data, str(tmp_path / "s"), after(3, lose))
    assert len(cluster.workers) == 1
    assert content(tmp_path / "s") == serial
