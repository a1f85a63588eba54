"""Computing shards of a store, and writing them: what a process does that is given some.

Three things happen at once: processes decode the next batches, this thread has the backbone embed
one, and another thread writes the last finished shard.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import zarr
from jaxtyping import Float16, UInt8

from qpmstudy.backbones.base import Backbone
from qpmstudy.datasets import ImageDataset
from storage.chunks import chunk_sums
from storage.groups import CHUNK_SUMS, array_of
from storage.half import half
from storage.loading import Loaded, loaded
from storage.places import Place, reached, remove_file
from storage.record import Digests, digests

Done = Callable[[int, Digests], None]
"""Called once a shard is written, with its number and what to record of it."""
Embedded = Callable[[int], None]
"""Called with how many more images are embedded."""


@dataclass(frozen=True)
class Work:
    """Shards of a store that are to be computed.

    Attributes:
        place: where the store lies, and `group`, the store, writable.
        dataset: the images.
        backbone: what embeds them.
        shards: which shards, ascending.
        batch: images that the backbone embeds at once.
        workers: processes that decode images; 0: a thread.
    """

    place: Place
    group: zarr.Group
    dataset: ImageDataset
    backbone: Backbone
    shards: tuple[int, ...]
    batch: int
    workers: int

    @property
    def shard_rows(self) -> int:
        """Return how many images are a shard."""
        rows: Any = self.group.attrs["shard_rows"]
        return int(rows)

    def rows(self, shard: int) -> range:
        """Return the images of a shard; the last one may have fewer."""
        start = shard * self.shard_rows
        return range(start, min(start + self.shard_rows, len(self.dataset)))


Fill = Callable[[Work, Done, Embedded], None]
"""Computes and writes shards, here or elsewhere."""


@dataclass(frozen=True)
class _Shard:
    """The rows of a shard, being filled."""

    number: int
    rows: range
    patches: Float16[np.ndarray, "n P D"]
    cls: Float16[np.ndarray, "n D"]
    masks: UInt8[np.ndarray, "n P"] | None

    def put(self, first: int, patches: Any, cls: Any, masks: Any) -> None:
        """Put a batch whose first image is `first` into its place."""
        place = slice(first - self.rows.start, first - self.rows.start + len(patches))
        self.patches[place], self.cls[place] = patches, cls
        if self.masks is not None:
            self.masks[place] = masks


def fill_here(work: Work, done: Done, embedded: Embedded) -> None:
    """Compute and write shards in this process, `done` being called in their order.

    Raises:
        DataError: an image cannot be read, or a token is too large for float16.
        StoreError: the URL cannot be reached.
        WorkerError: a process that decodes images died.
    """
    batches = {
        shard: [
            range(start, min(start + work.batch, work.rows(shard).stop))
            for start in range(work.rows(shard).start, work.rows(shard).stop, work.batch)
        ]
        for shard in work.shards
    }
    order = [batch for shard in work.shards for batch in batches[shard]]
    writing: Future[None] | None = None
    stream = loaded(work.dataset, work.backbone, order, work.workers)
    with ThreadPoolExecutor(1) as writer, closing(stream):
        for shard in work.shards:
            filled = _empty(work, shard)
            for batch in batches[shard]:
                pictures = next(stream)
                ids = work.dataset.ids[batch.start : batch.stop]
                filled.put(batch.start, *_tokens(work.backbone, pictures, ids), pictures.masks)
                embedded(len(batch))
            if writing is not None:
                writing.result()  # two shards are in memory, never more
            writing = writer.submit(_write, work, filled, done)
        if writing is not None:
            writing.result()


def _empty(work: Work, shard: int) -> _Shard:
    backbone, rows = work.backbone, work.rows(shard)
    patches, count = backbone.grid[0] * backbone.grid[1], len(rows)
    return _Shard(
        number=shard,
        rows=rows,
        patches=np.empty((count, patches, backbone.dim), np.float16),
        cls=np.empty((count, backbone.dim), np.float16),
        masks=np.empty((count, patches), np.uint8) if work.dataset.has_masks else None,
    )


def _tokens(
    backbone: Backbone, batch: Loaded, ids: tuple[str, ...]
) -> tuple[Float16[np.ndarray, "n P D"], Float16[np.ndarray, "n D"]]:
    """Return what the backbone says of a batch, in half precision."""
    patches, cls = backbone.embed(backbone.normalised(torch.from_numpy(batch.pixels)))
    return half(patches, ids, backbone.name), half(cls, ids, backbone.name)


def _write(work: Work, shard: _Shard, done: Done) -> None:
    """Write the rows of a shard, whole objects that no other shard shares, and then say so."""
    group, rows = work.group, slice(shard.rows.start, shard.rows.stop)
    # Zarr reads a shard that is there before it writes it, and a damaged one cannot be read.
    remove_file(work.place / f"patches/c/{shard.number}/0/0")
    with reached(group):
        patches = array_of(group, "patches")
        patches[rows] = shard.patches
        sums = chunk_sums(shard.patches, patches.chunks[0])
        first = shard.rows.start // patches.chunks[0]
        array_of(group, CHUNK_SUMS)[first : first + len(sums)] = sums
        array_of(group, "cls")[rows] = shard.cls
        if shard.masks is not None:
            array_of(group, "masks")[rows] = shard.masks
    done(shard.number, digests(shard.patches, shard.cls, shard.masks))
