"""Embeddings in the object store: read once a node, seen by every stage task without a copy.

Every shard is the result of a task, so that Ray can read it again if its node is lost
(objects put there by hand cannot be rebuilt). A store that does not fit stays on the disk, and
each task streams its chunks. Where the object store turns out to be full, taken by others, a task
reads the whole store for itself: the same numbers, in memory of its own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, ObjectStoreFullError, OutOfDiskError

from qpmstudy.embeddings import Embeddings
from qpmstudy.streaming import StreamedChunks
from storage.embeddings import open_store
from storage.places import Place, absolute
from storage.reading import streamed_chunks

PATIENCE = 20.0
"""Seconds; a shard is read in a fraction of one."""


@dataclass(frozen=True)
class OnDisk:
    """The patch tokens of a store that does not fit into memory."""

    path: Place
    dataset: str
    backbone: str
    window: int  # how many chunks are shuffled together

    def open(self) -> StreamedChunks:
        """Return the chunks, each read when it is needed."""
        return streamed_chunks(open_store(self.path, self.dataset, self.backbone), self.window)


@dataclass(frozen=True)
class SharedEmbeddings:
    """References to one store in the object store.

    Attributes:
        where: path, dataset and backbone of the store.
        without_patches: of an `Embeddings`.
        shards: of their patch tokens.
    """

    where: tuple[Place, str, str]
    without_patches: ray.ObjectRef
    shards: tuple[ray.ObjectRef, ...] | OnDisk

    def get(self) -> Embeddings:
        """Return the embeddings, their arrays read-only views of this node's shared memory.

        What is streamed is read by this process as it is needed. Where the object store is full,
        or brings nothing for `PATIENCE` seconds, as after the loss of a node, so is everything.
        """
        try:
            return self._shared()
        except (ObjectStoreFullError, OutOfDiskError, GetTimeoutError):
            return self._own()

    def _shared(self) -> Embeddings:
        shards = () if isinstance(self.shards, OnDisk) else self.shards
        light: Embeddings
        light, *blocks = _brought([self.without_patches, *shards])
        if isinstance(self.shards, OnDisk):
            return replace(light, patches=self.shards.open())
        return replace(light, patches=tuple(blocks))

    def _own(self) -> Embeddings:
        store = open_store(*self.where)
        light = store.read_without_patches()
        if isinstance(self.shards, OnDisk):
            return replace(light, patches=self.shards.open())
        return replace(light, patches=tuple(map(store.read_shard, range(store.shards))))


def _brought(references: list[ray.ObjectRef]) -> list[Any]:
    """Return objects, waiting for them as long as one more arrives now and then.

    Raises:
        GetTimeoutError: none did for `PATIENCE` seconds.
    """
    here = -1
    while True:
        try:
            return list(ray.get(references, timeout=PATIENCE))
        except GetTimeoutError:
            before = here
            here = len(ray.wait(references, num_returns=len(references), timeout=0)[0])
            if here <= before:
                raise


# With a CPU each: of tasks that hold none, Ray starts as many processes as there are shards.
@ray.remote(num_cpus=1)
def _load_shard(path: Place, dataset: str, backbone: str, shard: int) -> np.ndarray:
    return open_store(path, dataset, backbone).read_shard(shard)


@ray.remote(num_cpus=1)
def _load_without_patches(path: Place, dataset: str, backbone: str) -> Embeddings:
    return open_store(path, dataset, backbone).read_without_patches()


def share(path: Place, dataset: str, backbone: str, window: int | None = None) -> SharedEmbeddings:
    """Start loading a complete store; returns at once.

    With a `window` its patch tokens are left on the disk, to be shuffled within that many chunks.

    Raises:
        DataError: there is no such store, or it is incomplete or another's.
    """
    store = open_store(path, dataset, backbone)
    where = (absolute(path), dataset, backbone)
    return SharedEmbeddings(
        where=where,
        without_patches=_load_without_patches.remote(*where),
        shards=tuple(_load_shard.remote(*where, shard) for shard in range(store.shards))
        if window is None
        else OnDisk(*where, window),
    )
