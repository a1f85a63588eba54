"""A store before its first shard: what decides its content, and how it is laid out."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr

from qpmstudy.backbones.base import Backbone
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import DataError
from storage.chunks import CHUNK_CHECKSUM
from storage.groups import CHUNK_SUMS, RECORD, is_finished, open_group
from storage.places import Place, reached, remove, zarr_store
from storage.record import new_record

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


def begun_store(path: Place, content: str) -> zarr.Group | None:
    """Return the writable store at `path` if it has this content; None if there is none.

    An unfinished one of other content is removed.

    Raises:
        DataError: it is finished and has other content.
    """
    group = open_group(path, "r+")
    if group is None:
        return None
    finished = is_finished(group)
    if not finished and not _begun(group, content):  # no result can refer to it
        remove(path)
        return None
    if group.attrs["fingerprint"] != content:
        raise DataError(
            f"The store at {path} was made from other images, another backbone, other weights or "
            "other preprocessing. Results refer to it, so it is not overwritten unasked: "
            "add --force to replace it."
        )
    return group


def _begun(group: zarr.Group, content: str) -> bool:
    """Return whether this content was begun; the attributes are the last that is written then."""
    with reached(group):
        return group.attrs.get("fingerprint") == content and RECORD in group


def new_store(
    dataset: ImageDataset,
    backbone: Backbone,
    path: Place,
    content: str,
    left_out: Mapping[str, str],
) -> zarr.Group:
    """Return a store without shards at `path`; what was there is replaced.

    Raises:
        StoreError: the URL cannot be reached.
    """
    images, (rows, columns), dim = len(dataset), backbone.grid, backbone.dim
    patches = rows * columns
    chunk, shard = sizes(images, patches * dim * 2)
    with reached(path):
        group = zarr.open_group(zarr_store(path), mode="w", zarr_format=3)
        group.create_array(
            "patches",
            shape=(images, patches, dim),
            chunks=(chunk, patches, dim),
            shards=(shard, patches, dim),
            dtype="float16",
            compressors=None,  # float16 shrinks by 10 %, and would decode at 1/5 the speed
        )
        sums, per_shard = -(-images // chunk), shard // chunk
        group.create_array(CHUNK_SUMS, shape=(sums,), chunks=(per_shard,), dtype="uint64")
        group.create_array("cls", shape=(images, dim), chunks=(shard, dim), dtype="float16")
        if dataset.has_masks:
            shape, chunks = (images, patches), (shard, patches)
            group.create_array("masks", shape=shape, chunks=chunks, dtype="uint8")
        group.create_array("labels", data=dataset.labels.astype(np.int64))
        codes = np.searchsorted(_split_names(dataset), dataset.splits).astype(np.uint8)
        group.create_array("splits", data=codes)
        group.create_array("ids", data=np.frombuffer("\n".join(dataset.ids).encode(), np.uint8))
        new_record(group, -(-images // shard))
        return group.update_attributes(
            {
                **_attributes(dataset, backbone),
                "left_out": dict(left_out),
                "shard_rows": shard,
                "chunk_checksum": CHUNK_CHECKSUM,
                "complete": False,
                "fingerprint": content,
            }
        )


def _attributes(dataset: ImageDataset, backbone: Backbone) -> dict[str, Any]:
    """Return what a store says of its images and of what embeds them."""
    return {
        "dataset": dataset.name,
        "backbone": backbone.name,
        "class_names": list(dataset.class_names),
        "split_names": _split_names(dataset),
        "grid": list(backbone.grid),
        "preprocessing": backbone.preprocessing,
        "weight_hash": backbone.weight_hash,
        "image_root": str(dataset.image_root.resolve()),
        "has_masks": dataset.has_masks,
    }


def _split_names(dataset: ImageDataset) -> list[str]:
    return sorted(set(dataset.splits.tolist()))


def sizes(images: int, token_bytes: int) -> tuple[int, int]:
    """Return how many images are a chunk and a shard; shards are whole batches if they can be."""
    chunk = 2 ** max(0, (CHUNK_BYTES // token_bytes).bit_length() - 1)
    unit = max(chunk, BATCH) if BATCH * token_bytes <= SHARD_BYTES else chunk
    units = max(1, min(-(-images // unit), SHARD_BYTES // (unit * token_bytes)))
    return chunk, units * unit
