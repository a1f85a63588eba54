"""Writing a store of frozen embeddings, shard by shard, so that a stopped run can go on.

Three things happen at once: processes decode the next batches, this thread has the backbone embed
one, and another thread writes the last finished shard. A shard counts once its checksum stands in
the attributes; a killed run leaves at most files that the next one writes again, and temporary
ones that it removes.
"""

import fcntl
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from jaxtyping import Float16, UInt8

from qpmstudy.backbones import Backbone
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import DataError
from storage.chunks import chunk_sums
from storage.embeddings import (
    EmbeddingStore,
    array_of,
    checksum,
    finish,
    is_finished,
    open_store,
)
from storage.half import half
from storage.loading import Loaded, default_workers, loaded
from storage.new_store import BATCH, begun_store, discard, fingerprint, new_store

Progress = Callable[[int, int], None]


def extract(
    dataset: ImageDataset,
    backbone: Backbone,
    path: Path,
    progress: Progress | None = None,
    batch: int = BATCH,
    workers: int | None = None,
    left_out: Mapping[str, str] | None = None,
) -> EmbeddingStore:
    """Run a backbone over a dataset and write its store, going on where an earlier run stopped.

    Args:
        dataset: images, labels, splits and masks.
        backbone: frozen; its tokens are stored as float16.
        path: folder of the store.
        progress: called with (images done, images in all), at first with those done before.
        batch: images that the backbone embeds at once.
        workers: processes that decode images; None decides by CPUs and images.
        left_out: {id: reason} of images that the dataset lacks because they are broken.

    Raises:
        DataError: an image cannot be read, a token is too large for float16, another process
            writes this store, or `path` holds a store of other content.
    """
    with _alone(path):
        content = fingerprint(dataset, backbone)
        group = begun_store(path, content)
        if group is None:
            group = new_store(dataset, backbone, path, content, left_out or {})
        if not is_finished(group):
            for leftover in path.rglob("*.partial"):  # Zarr renames these when they are whole
                leftover.unlink()
            count = default_workers(len(dataset)) if workers is None else workers
            try:
                _fill(group, dataset, backbone, progress or _silent, batch, count)
            except DataError:  # what mends the image changes the content: it cannot go on here
                discard(path)
                raise
            finish(group)
    return open_store(path, dataset.name, backbone.name)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from writing the store at `path`; the lock ends with its holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"Another process is writing the embeddings at {path}: wait for it, or stop it."
            ) from error
        yield


@dataclass(frozen=True)
class _Shard:
    """The rows of a shard, being filled."""

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


def _fill(
    group: zarr.Group,
    dataset: ImageDataset,
    backbone: Backbone,
    progress: Progress,
    batch: int,
    workers: int,
) -> None:
    """Compute and write the shards that are missing."""
    images, rows = len(dataset), _attribute(group, "shard_rows")
    first = len(_attribute(group, "patches_sha256")) * rows
    shards = [range(start, min(start + rows, images)) for start in range(first, images, rows)]
    batches = [
        range(start, min(start + batch, shard.stop))
        for shard in shards
        for start in range(shard.start, shard.stop, batch)
    ]
    writing: Future[None] | None = None
    progress(first, images)
    stream = loaded(dataset, backbone, batches, workers)
    with ThreadPoolExecutor(1) as writer, closing(stream):
        for shard in shards:
            filled = _empty(shard, backbone, dataset.has_masks)
            for start in range(shard.start, shard.stop, batch):
                embedded = next(stream)
                ids = dataset.ids[start : start + len(embedded.pixels)]
                filled.put(start, *_tokens(backbone, embedded, ids), embedded.masks)
                progress(start + len(ids), images)
            if writing is not None:
                writing.result()  # two shards are in memory, never more
            writing = writer.submit(_write, group, filled)
        if writing is not None:
            writing.result()


def _empty(rows: range, backbone: Backbone, has_masks: bool) -> _Shard:
    patches, count = backbone.grid[0] * backbone.grid[1], len(rows)
    return _Shard(
        rows=rows,
        patches=np.empty((count, patches, backbone.dim), np.float16),
        cls=np.empty((count, backbone.dim), np.float16),
        masks=np.empty((count, patches), np.uint8) if has_masks else None,
    )


def _tokens(
    backbone: Backbone, batch: Loaded, ids: tuple[str, ...]
) -> tuple[Float16[np.ndarray, "n P D"], Float16[np.ndarray, "n D"]]:
    """Return what the backbone says of a batch, in half precision."""
    patches, cls = backbone.embed(backbone.normalised(torch.from_numpy(batch.pixels)))
    return half(patches, ids, backbone.name), half(cls, ids, backbone.name)


def _write(group: zarr.Group, shard: _Shard) -> None:
    """Write the rows of a shard, and then its checksum, which makes it count."""
    rows = slice(shard.rows.start, shard.rows.stop)
    patches = array_of(group, "patches")
    patches[rows] = shard.patches
    chunk = patches.chunks[0]
    sums = chunk_sums(shard.patches, chunk)
    first = shard.rows.start // chunk
    array_of(group, "chunk_xxh3")[first : first + len(sums)] = sums
    array_of(group, "cls")[rows] = shard.cls
    if shard.masks is not None:
        array_of(group, "masks")[rows] = shard.masks
    written = [*_attribute(group, "patches_sha256"), checksum([shard.patches])]
    group.attrs["patches_sha256"] = written


def _attribute(group: zarr.Group, name: str) -> Any:
    return group.attrs[name]


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
