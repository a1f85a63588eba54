"""The store of frozen embeddings: a Zarr v3 group for each dataset and backbone.

    patches (N, P, D) float16, in shards    cls (N, D) float16    labels (N,)   splits (N,)
    masks (N, P) uint8, if there are any    ids: image paths, UTF-8, one a line

Attributes carry class names, grid, preprocessing, backbone, weight hash, the fingerprint and
`complete`. A store is written shard by shard and used only once `complete` is true.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from jaxtyping import Float16
from zarr.errors import GroupNotFoundError

from qpmstudy.backbones import Backbone
from qpmstudy.datasets import ImageDataset
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import DataError
from qpmstudy.masks import mask_to_grid

FORMAT = 1
SHARD_BYTES = 32 * 2**20
CHUNK_BYTES = 2**20
EMBED_BATCH = 16

Progress = Callable[[int, int], None]


def fingerprint(dataset: ImageDataset, backbone: Backbone) -> str:
    """Return the content hash of the store that `dataset` and `backbone` make.

    Covers images, labels, splits, masks, preprocessing, backbone and weights; known before
    anything is computed, so that an interrupted extraction can tell whether it may go on.
    """
    content = {
        "format": FORMAT,
        "dataset": dataset.fingerprint(),
        "backbone": backbone.name,
        "weights": backbone.weight_hash,
        "preprocessing": backbone.preprocessing,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class EmbeddingStore:
    """A complete store, open for reading."""

    path: Path
    group: zarr.Group

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the group."""
        return dict(self.group.attrs)

    @property
    def fingerprint(self) -> str:
        """Return the content hash that enters every stage key."""
        return str(self.group.attrs["fingerprint"])

    @property
    def shards(self) -> int:
        """Return how many shards `read_shard` can read."""
        rows, step = self._array("patches").shape[0], self._shard_rows
        return -(-rows // step)

    def read_shard(self, shard: int) -> Float16[np.ndarray, "n P D"]:
        """Return the patch tokens of one shard."""
        start = shard * self._shard_rows
        block = self._array("patches")[start : start + self._shard_rows]
        return np.ascontiguousarray(block, dtype=np.float16)

    def read_without_patches(self) -> Embeddings:
        """Return everything but the patch tokens, which are by far the largest part."""
        attributes = self.attributes
        names = np.array(attributes["split_names"])
        ids = bytes(np.asarray(self._array("ids")[:])).decode().split("\n")
        return Embeddings(
            dataset=attributes["dataset"],
            backbone=attributes["backbone"],
            fingerprint=self.fingerprint,
            class_names=tuple(attributes["class_names"]),
            grid=(attributes["grid"][0], attributes["grid"][1]),
            preprocessing=attributes["preprocessing"],
            weight_hash=attributes["weight_hash"],
            patches=(),
            cls=np.asarray(self._array("cls")[:]),
            labels=np.asarray(self._array("labels")[:]),
            splits=names[np.asarray(self._array("splits")[:])],
            masks=np.asarray(self._array("masks")[:]) if "masks" in self.group else None,
            ids=tuple(ids),
            image_root=attributes["image_root"],
        )

    @property
    def _shard_rows(self) -> int:
        array = self._array("patches")
        return (array.shards or array.chunks)[0]

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array


def open_store(path: Path, dataset: str, backbone: str) -> EmbeddingStore:
    """Open a store for reading.

    Raises:
        DataError: there is none, it is incomplete or damaged, or it holds the embeddings of
            another dataset or backbone.
    """
    remedy = f"python cli.py embed --dataset {dataset} --backbone {backbone}"
    try:
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
    except (GroupNotFoundError, FileNotFoundError) as error:
        raise DataError(f"There are no embeddings at {path}. Make them: {remedy}") from error
    except (ValueError, KeyError, OSError) as error:
        raise DataError(
            f"The embeddings at {path} cannot be read ({error}). Make them anew: {remedy} --force"
        ) from error
    found = (attributes.get("dataset"), attributes.get("backbone"))
    if found != (dataset, backbone):
        raise DataError(
            f"The store at {path} holds the embeddings of dataset {found[0]!r} by backbone "
            f"{found[1]!r}, but {dataset!r} by {backbone!r} was asked for. Move it away, "
            f"or make the right one: {remedy} --force"
        )
    if not attributes.get("complete"):
        raise DataError(f"The embeddings at {path} are incomplete. Finish them: {remedy}")
    return EmbeddingStore(path, group)


def is_complete(path: Path) -> bool:
    """Return whether there is a finished store at `path`, whatever it holds."""
    try:
        return bool(zarr.open_group(path, mode="r").attrs.get("complete"))
    except (GroupNotFoundError, FileNotFoundError):
        return False


def extract(
    dataset: ImageDataset, backbone: Backbone, path: Path, progress: Progress | None = None
) -> EmbeddingStore:
    """Run a backbone over a dataset and write its store, going on where an earlier run stopped.

    Args:
        dataset: images, labels, splits and masks.
        backbone: frozen; its tokens are stored as float16.
        path: folder of the store.
        progress: called with (images done, images in all).

    Raises:
        DataError: an image cannot be read, or `path` holds a store of other content.
    """
    content = fingerprint(dataset, backbone)
    store = _existing(path, content)
    if store is None:
        store = _create(dataset, backbone, path, content)
    if not store.attributes["complete"]:
        _fill(store, dataset, backbone, progress)
        store.group.attrs["complete"] = True
    return EmbeddingStore(path, zarr.open_group(path, mode="r"))


def _existing(path: Path, content: str) -> EmbeddingStore | None:
    """Return the writable store at `path` if it has this content; None if there is none."""
    try:
        group = zarr.open_group(path, mode="r+")
    except (GroupNotFoundError, FileNotFoundError):
        return None
    if "fingerprint" not in group.attrs:  # killed before the first attribute was written
        shutil.rmtree(path)
        return None
    if group.attrs["fingerprint"] != content:
        raise DataError(
            f"The store at {path} was made from other images, another backbone or other "
            "preprocessing. Results refer to it, so it is not overwritten unasked: "
            "add --force to replace it."
        )
    return EmbeddingStore(path, group)


def _create(dataset: ImageDataset, backbone: Backbone, path: Path, content: str) -> EmbeddingStore:
    images, (rows, columns), dim = len(dataset), backbone.grid, backbone.dim
    patches = rows * columns
    split_names = sorted(set(dataset.splits.tolist()))
    group = zarr.open_group(path, mode="w", zarr_format=3)
    token_bytes = patches * dim * 2
    chunk = max(1, CHUNK_BYTES // token_bytes)
    shard = chunk * max(1, min(-(-images // chunk), SHARD_BYTES // (chunk * token_bytes)))
    group.create_array(
        "patches",
        shape=(images, patches, dim),
        chunks=(chunk, patches, dim),
        shards=(shard, patches, dim),
        dtype="float16",
        compressors=None,  # float16 activations shrink by 10 % and would decode at 1/5 the speed
    )
    group.create_array("cls", shape=(images, dim), chunks=(shard, dim), dtype="float16")
    if dataset.has_masks:
        group.create_array("masks", shape=(images, patches), chunks=(shard, patches), dtype="uint8")
    group.create_array("labels", data=dataset.labels.astype(np.int64))
    codes = np.searchsorted(split_names, dataset.splits).astype(np.uint8)
    group.create_array("splits", data=codes)
    group.create_array("ids", data=np.frombuffer("\n".join(dataset.ids).encode(), np.uint8))
    group.attrs.update(
        {
            "dataset": dataset.name,
            "backbone": backbone.name,
            "class_names": list(dataset.class_names),
            "split_names": split_names,
            "grid": [rows, columns],
            "preprocessing": dict[str, Any](backbone.preprocessing),
            "weight_hash": backbone.weight_hash,
            "image_root": str((dataset.root / "images").resolve()),
            "shards_written": 0,
            "complete": False,
            "fingerprint": content,
        }
    )
    return EmbeddingStore(path, group)


def _fill(
    store: EmbeddingStore, dataset: ImageDataset, backbone: Backbone, progress: Progress | None
) -> None:
    rows, group = store._shard_rows, store.group
    first = int(group.attrs["shards_written"])  # type: ignore[arg-type]  # JSON: an int we wrote
    for shard in range(first, store.shards):
        start, stop = shard * rows, min((shard + 1) * rows, len(dataset))
        patches, cls, masks = [], [], []
        for begin in range(start, stop, EMBED_BATCH):
            batch = range(begin, min(begin + EMBED_BATCH, stop))
            images = torch.stack([backbone.preprocess(dataset.image(i)) for i in batch])
            tokens, vector = backbone.embed(images)
            patches.append(tokens.half().numpy())
            cls.append(vector.half().numpy())
            if dataset.has_masks:
                masks += [_mask(dataset, i, backbone) for i in batch]
            if progress:
                progress(batch.stop, len(dataset))
        store._array("patches")[start:stop] = np.concatenate(patches)
        store._array("cls")[start:stop] = np.concatenate(cls)
        if masks:
            store._array("masks")[start:stop] = np.stack(masks)
        group.attrs["shards_written"] = shard + 1


def _mask(dataset: ImageDataset, index: int, backbone: Backbone) -> np.ndarray:
    mask = dataset.mask(index)
    assert mask is not None
    return mask_to_grid(mask, backbone.grid, backbone.preprocessing)
