"""The store of frozen embeddings: a Zarr v3 group for each dataset and backbone.

    patches (N, P, D) float16, in shards    cls (N, D) float16    labels (N,)   splits (N,)
    masks (N, P) uint8, if there are any    ids: image paths, UTF-8, one a line
    chunk_xxh3: a checksum of each chunk of patches, which is compared whenever one is read

Attributes carry class names, grid, preprocessing, backbone, weight hash, the fingerprint,
`complete`, and SHA-256 checksums: of each shard of patches, of the other arrays together, and of
the other attributes.
A store is used only once `complete` is true, and checked when read: Zarr itself reads a lost
file as zeros. It lies in a folder or behind a URL (`storage.places`) and is written by
`storage.extraction`; while it is, `storage.record` keeps one more array in it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from jaxtyping import Float16
from numpy.typing import NDArray
from zarr.errors import GroupNotFoundError

from qpmstudy.datasets.birds import PRESETS
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import DataError
from storage.chunks import CHUNK_CHECKSUM, checked_rows, chunk_sums
from storage.places import Place, place_of, reached, zarr_store

RECORD = "written"
"""What an unfinished store knows of its shards: see `storage.record`."""
CHUNK_SUMS = "chunk_xxh3"
LIGHT = ("cls", "labels", "splits", "masks", "ids", CHUNK_SUMS)
"""The arrays that are read at once; patches are by far larger than all of them."""


@dataclass(frozen=True)
class EmbeddingStore:
    """A complete store, open for reading."""

    path: Place
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
        return len(self.attributes["patches_sha256"])

    @cached_property
    def patches(self) -> zarr.Array[Any]:
        """Return the array of patch tokens, (N, P, D); Zarr looks for it on the disk each time.

        Raises:
            DataError: it is missing.
        """
        try:
            return array_of(self.group, "patches")
        except (KeyError, ValueError, OSError) as error:
            raise self._damaged(f"patches cannot be read ({error})") from error

    @property
    def chunk_rows(self) -> int:
        """Return how many images are a chunk, the least that `read_chunk` reads."""
        return int(self.patches.chunks[0])

    @cached_property
    def _chunk_sums(self) -> NDArray[np.uint64]:
        return read_array(self.group, CHUNK_SUMS)

    @property
    def checksums(self) -> dict[int, str]:
        """Return the SHA-256 of every shard that is written: all, once the store is complete."""
        if is_finished(self.group):
            return dict(enumerate(self.attributes["patches_sha256"]))
        return written_shards(self.group)

    def read_shard(self, shard: int) -> Float16[np.ndarray, "n P D"]:
        """Return the patch tokens of one shard, read-only.

        Raises:
            DataError: it is damaged.
        """
        rows = int(self.attributes["shard_rows"])
        return self._read(shard * rows, (shard + 1) * rows, f"shard {shard} of patches")

    def read_chunk(self, chunk: int) -> Float16[np.ndarray, "n P D"]:
        """Return the patch tokens of one chunk, read-only.

        Raises:
            DataError: it is damaged.
        """
        rows = self.chunk_rows
        return self._read(chunk * rows, (chunk + 1) * rows, f"chunk {chunk} of patches")

    def check_shard(self, shard: int) -> None:
        """Compare a shard, as Zarr reads it, with the SHA-256 that it had when it was written.

        Raises:
            DataError: it is damaged.
        """
        rows, what = int(self.attributes["shard_rows"]), f"shard {shard} of patches"
        block = read_array(self.group, "patches", slice(shard * rows, (shard + 1) * rows), what)
        self._check(what, self.checksums[shard], [block])

    def _read(self, start: int, stop: int, what: str) -> Float16[np.ndarray, "n P D"]:
        """Return whole chunks, compared with their checksums."""
        rows, stop = self.chunk_rows, min(stop, self.patches.shape[0])
        expected = self._chunk_sums[start // rows : -(-stop // rows)]
        block = checked_rows(self.patches, start, stop, expected)
        if block is not None:
            return block
        block = read_array(self.group, "patches", slice(start, stop), what)
        if not np.array_equal(chunk_sums(block, rows), expected):
            raise self._damaged(f"{what} has not the checksums that were recorded for it")
        return block

    def read_without_patches(self) -> Embeddings:
        """Return everything but the patch tokens.

        Raises:
            DataError: it is damaged.
        """
        attributes = self.attributes
        arrays = read_light(self.group)
        self._check("what lies beside patches", attributes["light_sha256"], arrays.values())
        names = np.array(attributes["split_names"])
        return Embeddings(
            dataset=attributes["dataset"],
            backbone=attributes["backbone"],
            fingerprint=self.fingerprint,
            class_names=tuple(attributes["class_names"]),
            grid=(attributes["grid"][0], attributes["grid"][1]),
            preprocessing=attributes["preprocessing"],
            weight_hash=attributes["weight_hash"],
            patches=(),
            cls=arrays["cls"],
            labels=arrays["labels"],
            splits=names[arrays["splits"]],
            masks=arrays.get("masks"),
            ids=tuple(arrays["ids"].tobytes().decode().split("\n")),
            image_root=attributes["image_root"],
        )

    def _check(self, what: str, expected: str, arrays: Iterable[NDArray[Any]]) -> None:
        found = checksum(arrays)
        if found != expected:
            raise self._damaged(
                f"{what} has SHA-256 {found[:12]}..., but {expected[:12]}... was recorded when "
                "it was written"
            )

    def _damaged(self, how: str) -> DataError:
        remedy = command(self.attributes["dataset"], self.attributes["backbone"], self.path)
        return DataError(
            f"The embeddings at {self.path} are damaged: {how}. Make them anew: {remedy} --force"
        )


def open_store(path: Place, dataset: str, backbone: str) -> EmbeddingStore:
    """Open a store for reading.

    Raises:
        DataError: there is none, it is incomplete or damaged, or it holds the embeddings of
            another dataset or backbone.
        StoreError: the URL cannot be reached.
    """
    remedy = command(dataset, backbone, path)
    group = open_group(path, "r")
    if group is None:
        raise DataError(f"There are no embeddings at {path}. Make them: {remedy}")
    if is_finished(group) and group.attrs["attributes_sha256"] != attributes_checksum(group.attrs):
        raise DataError(
            f"The embeddings at {path} are damaged: their attributes in zarr.json are not those "
            f"that were written. Make them anew: {remedy} --force"
        )
    found = (group.attrs.get("dataset"), group.attrs.get("backbone"))
    if found != (dataset, backbone):
        raise DataError(
            f"The store at {path} holds the embeddings of dataset {found[0]!r} by backbone "
            f"{found[1]!r}, but {dataset!r} by {backbone!r} was asked for. Move it away, "
            f"or make the right one: {remedy} --force"
        )
    if not is_finished(group):
        raise DataError(f"The embeddings at {path} are incomplete. Finish them: {remedy}")
    return EmbeddingStore(path, group)


def is_complete(path: Place) -> bool:
    """Return whether there is a finished store at `path`, whatever it holds.

    Raises:
        DataError: what is there cannot be read.
    """
    group = open_group(path, "r")
    return group is not None and is_finished(group)


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
