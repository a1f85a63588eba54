"""A store before its first shard: what decides its content, and how it is laid out."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from qpmstudy.backbones import Backbone
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import DataError
from storage.chunks import CHUNK_CHECKSUM
from storage.embeddings import is_finished, open_group

FORMAT = 1
SHARD_BYTES = 32 * 2**20
CHUNK_BYTES = 2**20
BATCH = 32
"""Images that a backbone embeds at once unless asked otherwise: shards are whole batches."""


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


def begun_store(path: Path, content: str) -> zarr.Group | None:
    """Return the writable store at `path` if it has this content; None if there is none.

    An unfinished one of other content is removed.

    Raises:
        DataError: it is finished and has other content.
    """
    group = open_group(path, "r+")
    if group is None:
        return None
    # killed before the first attribute was written, or from before chunks had checksums
    if group.attrs.get("chunk_checksum") != CHUNK_CHECKSUM:
        discard(path)
        return None
    if group.attrs["fingerprint"] != content and not is_finished(group):
        discard(path)  # no result can refer to it
        return None
    if group.attrs["fingerprint"] != content:
        raise DataError(
            f"The store at {path} was made from other images, another backbone, other weights or "
            "other preprocessing. Results refer to it, so it is not overwritten unasked: "
            "add --force to replace it."
        )
    return group


def discard(path: Path) -> None:
    """Remove the store at `path`; one that is half removed counts as none."""
    (path / "zarr.json").unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def new_store(
    dataset: ImageDataset,
    backbone: Backbone,
    path: Path,
    content: str,
    left_out: Mapping[str, str],
) -> zarr.Group:
    """Return a store without shards at `path`; what was there is replaced."""
    images, (rows, columns), dim = len(dataset), backbone.grid, backbone.dim
    patches = rows * columns
    split_names = sorted(set(dataset.splits.tolist()))
    group = zarr.open_group(path, mode="w", zarr_format=3)
    chunk, shard = sizes(images, patches * dim * 2)
    group.create_array(
        "patches",
        shape=(images, patches, dim),
        chunks=(chunk, patches, dim),
        shards=(shard, patches, dim),
        dtype="float16",
        compressors=None,  # float16 activations shrink by 10 % and would decode at 1/5 the speed
    )
    sums, per_shard = -(-images // chunk), shard // chunk
    group.create_array("chunk_xxh3", shape=(sums,), chunks=(per_shard,), dtype="uint64")
    group.create_array("cls", shape=(images, dim), chunks=(shard, dim), dtype="float16")
    if dataset.has_masks:
        group.create_array("masks", shape=(images, patches), chunks=(shard, patches), dtype="uint8")
    group.create_array("labels", data=dataset.labels.astype(np.int64))
    codes = np.searchsorted(split_names, dataset.splits).astype(np.uint8)
    group.create_array("splits", data=codes)
    group.create_array("ids", data=np.frombuffer("\n".join(dataset.ids).encode(), np.uint8))
    attributes: dict[str, Any] = {
        "dataset": dataset.name,
        "backbone": backbone.name,
        "class_names": list(dataset.class_names),
        "split_names": split_names,
        "grid": [rows, columns],
        "preprocessing": backbone.preprocessing,
        "weight_hash": backbone.weight_hash,
        "image_root": str(dataset.image_root.resolve()),
        "has_masks": dataset.has_masks,
        "left_out": dict(left_out),
        "shard_rows": shard,
        "chunk_checksum": CHUNK_CHECKSUM,
        "patches_sha256": [],  # grows by one with every finished shard
        "complete": False,
        "fingerprint": content,
    }
    group.attrs.update(attributes)
    return group


def sizes(images: int, token_bytes: int) -> tuple[int, int]:
    """Return how many images are a chunk and a shard; shards are whole batches if they can be."""
    chunk = 2 ** max(0, (CHUNK_BYTES // token_bytes).bit_length() - 1)
    unit = max(chunk, BATCH) if BATCH * token_bytes <= SHARD_BYTES else chunk
    units = max(1, min(-(-images // unit), SHARD_BYTES // (unit * token_bytes)))
    return chunk, units * unit
