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

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float16
from numpy.typing import NDArray

from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import DataError
from storage.chunks import Memory, allocated, checked_rows, chunk_sums, pages_of_its_own
from storage.groups import (
    CHUNK_SUMS,
    array_of,
    attributes_checksum,
    checksum,
    command,
    is_finished,
    open_group,
    read_array,
    read_light,
    written_shards,
)
from storage.places import Place


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
        return self._read(shard * rows, (shard + 1) * rows, f"shard {shard} of patches", allocated)

    def read_chunk(self, chunk: int) -> Float16[np.ndarray, "n P D"]:
        """Return the patch tokens of one chunk, read-only.

        Raises:
            DataError: it is damaged.
        """
        rows = self.chunk_rows
        what = f"chunk {chunk} of patches"
        return self._read(chunk * rows, (chunk + 1) * rows, what, pages_of_its_own)

    def check_shard(self, shard: int) -> None:
        """Compare a shard, as Zarr reads it, with the SHA-256 that it had when it was written.

        Raises:
            DataError: it is damaged.
        """
        rows, what = int(self.attributes["shard_rows"]), f"shard {shard} of patches"
        block = read_array(self.group, "patches", slice(shard * rows, (shard + 1) * rows), what)
        self._check(what, self.checksums[shard], [block])

    def _read(
        self, start: int, stop: int, what: str, memory: Memory
    ) -> Float16[np.ndarray, "n P D"]:
        """Return whole chunks, compared with their checksums."""
        rows, stop = self.chunk_rows, min(stop, self.patches.shape[0])
        expected = self._chunk_sums[start // rows : -(-stop // rows)]
        block = checked_rows(self.patches, start, stop, expected, memory)
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
