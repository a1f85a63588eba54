"""The Zarr group behind a store of embeddings: its attributes and arrays, and how they are checked.

What lies in it is told in `storage.embeddings`, which reads finished stores.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import GroupNotFoundError

from qpmstudy.datasets.birds import PRESETS
from qpmstudy.errors import DataError
from storage.chunks import CHUNK_CHECKSUM
from storage.places import Place, place_of, reached, zarr_store

RECORD = "written"
"""What an unfinished store knows of its shards: see `storage.record`."""
CHUNK_SUMS = "chunk_xxh3"
LIGHT = ("cls", "labels", "splits", "masks", "ids", CHUNK_SUMS)
"""The arrays that are read at once; patches are by far larger than all of them."""


def open_group(path: Place, mode: Literal["r", "r+"]) -> zarr.Group | None:
    """Return the Zarr group at `path`, or None if there is none.

    Raises:
        DataError: what is there cannot be read.
        StoreError: the URL cannot be reached.
    """
    try:
        with reached(path):
            return zarr.open_group(zarr_store(path), mode=mode)
    except (GroupNotFoundError, FileNotFoundError):
        return None
    except (ValueError, KeyError, OSError) as error:
        raise DataError(
            f"The embeddings at {path} cannot be read ({error}). Make them anew: "
            f"{command(path.parent.name, path.name, path)} --force"
        ) from error


def is_finished(group: zarr.Group) -> bool:
    """Return whether a group says that it is complete, with all its checksums."""
    marked = group.attrs.get("complete") is True and "attributes_sha256" in group.attrs
    return marked and group.attrs.get("chunk_checksum") == CHUNK_CHECKSUM


def attributes_checksum(attributes: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all attributes but this one."""
    others = {key: attributes[key] for key in attributes if key != "attributes_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def written_shards(group: zarr.Group) -> dict[int, str]:
    """Return the SHA-256 of patches of every shard that an unfinished store has recorded.

    Raises:
        DataError: the record is damaged.
    """
    own = bytes.fromhex(str(group.attrs["fingerprint"]))
    rows = read_array(group, RECORD)
    return {
        shard: patches.tobytes().hex()
        for shard, (patches, _, content) in enumerate(rows)
        if content.tobytes() == own
    }


def read_light(group: zarr.Group) -> dict[str, NDArray[Any]]:
    """Return every array but the patch tokens by name, unchecked."""
    names = [name for name in LIGHT if name != "masks" or group.attrs["has_masks"]]
    return {name: read_array(group, name) for name in names}


def read_array(
    group: zarr.Group, name: str, rows: slice = slice(None), what: str = ""
) -> NDArray[Any]:
    """Return rows of an array, which errors call `what`.

    Raises:
        DataError: Zarr finds it missing or damaged.
    """
    try:
        with reached(group):
            return np.ascontiguousarray(array_of(group, name)[rows])
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        dataset, backbone = str(group.attrs["dataset"]), str(group.attrs["backbone"])
        raise DataError(
            f"The embeddings in {place_of(group)} are damaged: {what or name} cannot be read "
            f"({error}). "
            f"Make them anew: {command(dataset, backbone, place_of(group))} --force"
        ) from error


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return the array of that name, of which there must be one."""
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def checksum(arrays: Iterable[NDArray[Any]]) -> str:
    """Return the SHA-256 of the arrays' types, shapes and values, in this order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def command(dataset: str, backbone: str, path: Place) -> str:
    """Return the command that makes the store of a dataset and backbone, which lies at `path`."""
    images = "" if dataset in PRESETS else " --data FOLDER"
    where = "" if isinstance(path, Path) else f" --embeddings {path.parent.parent}"
    return f"python cli.py embed --dataset {dataset} --backbone {backbone}{images}{where}"
