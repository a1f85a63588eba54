"""Extraction as Ray tasks, one a shard: on every GPU or CPU of a cluster, whatever node is lost.

A task opens the backbone once a process, computes its shard and writes it to the store; Ray runs
it again if its worker or node dies, and the same bytes are written once more. The driver alone
records what is finished (`storage.extraction`), so it can be killed as well.

What a task sees is checked before it computes: images, weights and store must lie on a file
system that all nodes share, or, the store, behind a URL.
"""

import functools
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Before ray: it reads its environment when it is imported.
from cluster.session import ray_session  # isort: skip
import ray
import torch
from ray.exceptions import RayError, RayTaskError

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.catalogue import CATALOGUE
from qpmstudy.backbones.checkpoints import find_weights
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.variants import split_name
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import QpmStudyError, StoreError, WorkerError
from storage.groups import open_group
from storage.places import Place, absolute
from storage.record import Digests
from storage.shards import Done, Embedded, Fill, Work, fill_here

RETRIES = 5
"""Of a task whose worker or node was lost."""
IN_FLIGHT = 256
"""Tasks that Ray knows of at once; more than a cluster has GPUs, or CPUs worth using."""
SHARERS = 4
"""Tasks that share a GPU: while one decodes pictures or writes, another computes."""


@dataclass(frozen=True)
class Job:
    """What a task needs to know to compute shards of one store."""

    place: Place
    fingerprint: str
    dataset: ImageDataset
    backbone: str
    weights: Path | None
    weight_hash: str
    batch: int


def fill_on_ray(weights: Path | None) -> Fill:
    """Return what computes the shards of a store on the cluster at RAY_ADDRESS, or else here.

    Args:
        weights: checkpoint of the backbone, as for `open_backbone`.
    """

    def fill(work: Work, done: Done, embedded: Embedded) -> None:
        with ray_session(verbose=False):
            _spread(work, _job(work, weights), done, embedded)

    return fill


def _job(work: Work, weights: Path | None) -> Job:
    entry = CATALOGUE.get(split_name(work.backbone.name)[0])
    if weights is None and entry is not None:
        weights = find_weights(entry)  # the nodes may name another folder, or none
    return Job(
        place=absolute(work.place),
        fingerprint=str(work.group.attrs["fingerprint"]),
        dataset=replace(work.dataset, root=work.dataset.root.resolve()),
        backbone=work.backbone.name,
        weights=weights and weights.resolve(),
        weight_hash=work.backbone.weight_hash,
        batch=work.batch,
    )


def _spread(work: Work, job: Job, done: Done, embedded: Embedded) -> None:
    """Have the shards computed by tasks.

    Raises:
        QpmStudyError: as the task raised it, or WorkerError: too many workers were lost.
    """
    shared = ray.put(job)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    task = embed_shard.options(**share_of(nodes, job.backbone))
    waiting = list(reversed(work.shards))
    running: dict[Any, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < IN_FLIGHT:
                shard = waiting.pop()
                running[task.remote(shared, shard)] = shard
            (ready,), _ = ray.wait(list(running), num_returns=1)
            shard = running.pop(ready)
            done(shard, _result(ready))
            embedded(len(work.rows(shard)))
    finally:
        for left in running:
            ray.cancel(left)


def _result(ready: Any) -> Digests:
    try:
        found: Digests = ray.get(ready)
    except RayTaskError as error:
        if isinstance(error.cause, QpmStudyError):
            raise error.cause from None
        raise
    except RayError as error:
        raise WorkerError(
            f"A task that embeds images was lost {RETRIES + 1} times ({type(error).__name__}): if "
            "memory is short, take a smaller --batch. Run the same command again: it goes on."
        ) from error
    return found


def share_of(nodes: Sequence[Mapping[str, float]], backbone: str) -> dict[str, float]:
    """Return what a task reserves, given the resources of every node.

    A CPU, and for a network a share of a GPU, if there are any: a `SHARERS`th, or more where a
    node has fewer CPUs for each of its GPUs.
    """
    sharers = [int(node.get("CPU", 0) // node["GPU"]) for node in nodes if node.get("GPU")]
    if not sharers or split_name(backbone)[0] not in CATALOGUE:
        return {"num_cpus": 1}
    return {"num_cpus": 1, "num_gpus": 1 / max(1, min(SHARERS, *sharers))}


@ray.remote(max_retries=RETRIES)
def embed_shard(job: Job, shard: int) -> Digests:
    """Compute and write one shard, and return what to record of it.

    Raises:
        DataError: an image cannot be read, or a token is too large for float16.
        StoreError: this node does not see what the driver sees, or cannot reach the URL.
    """
    torch.set_num_threads(1)
    group = open_group(job.place, "r+")
    if group is None or group.attrs.get("fingerprint") != job.fingerprint:
        raise _unseen("the store at", job.place, "or name a URL: --embeddings s3://BUCKET/FOLDER")
    if not job.dataset.root.is_dir():
        raise _unseen("the images in", job.dataset.root, "or embed without --ray")
    if job.weights is not None and not job.weights.is_file():
        raise _unseen("the weights at", job.weights, "or embed without --ray")
    backbone = _opened(job.backbone, job.weights)
    if backbone.weight_hash != job.weight_hash:
        raise StoreError(
            f"The node {platform.node()} has other weights of {job.backbone!r} than the driver: "
            "name one file that all nodes share (--weights FILE)."
        )
    found: list[Digests] = []
    work = Work(job.place, group, job.dataset, backbone, (shard,), job.batch, workers=0)
    fill_here(work, lambda _, digests: found.append(digests), lambda _: None)
    return found[0]


def _unseen(what: str, place: Place, otherwise: str) -> StoreError:
    return StoreError(
        f"The node {platform.node()} does not see {what} {place}: put them on a file system that "
        f"all nodes of the cluster share, {otherwise}."
    )


@functools.lru_cache(maxsize=1)
def _opened(backbone: str, weights: Path | None) -> Backbone:
    """Return the backbone of this process, which may compute many shards."""
    return open_backbone(backbone, weights)
