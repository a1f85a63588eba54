"""Embeddings in the object store: read once a node, seen by every stage task without a copy.

Every shard is the result of a task, so that Ray can read it again if its node is lost
(objects put there by hand cannot be rebuilt).
"""

from dataclasses import dataclass, replace

import numpy as np
import ray

from qpmstudy.embeddings import Embeddings
from storage.embeddings import open_store
from storage.places import Place, absolute


@dataclass(frozen=True)
class SharedEmbeddings:
    """References to one store in the object store."""

    fingerprint: str
    held_out: tuple[str, ...]
    image_root: str
    without_patches: ray.ObjectRef
    shards: tuple[ray.ObjectRef, ...]

    def get(self) -> Embeddings:
        """Return the embeddings, their arrays read-only views of this node's shared memory."""
        light: Embeddings = ray.get(self.without_patches)
        return replace(light, patches=tuple(ray.get(list(self.shards))))


@ray.remote(num_cpus=0)
def _load_shard(path: Place, dataset: str, backbone: str, shard: int) -> np.ndarray:
    return open_store(path, dataset, backbone).read_shard(shard)


@ray.remote(num_cpus=0)
def _load_without_patches(path: Place, dataset: str, backbone: str) -> Embeddings:
    return open_store(path, dataset, backbone).read_without_patches()


def share(path: Place, dataset: str, backbone: str) -> SharedEmbeddings:
    """Start loading a complete store; returns at once.

    Raises:
        DataError: there is no such store, or it is incomplete or another's.
    """
    store = open_store(path, dataset, backbone)
    light = store.read_without_patches()
    where = (absolute(path), dataset, backbone)
    return SharedEmbeddings(
        fingerprint=store.fingerprint,
        held_out=light.held_out_splits(),
        image_root=light.image_root,
        without_patches=_load_without_patches.remote(*where),
        shards=tuple(_load_shard.remote(*where, shard) for shard in range(store.shards)),
    )
