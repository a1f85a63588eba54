"""What an unfinished store knows of its shards, and how it becomes a finished one.

    written (S, 3, 32) uint8, each row a file or object of its own:
        SHA-256 of shard s of patches | of its rows of cls and masks | the store's fingerprint

A row is zeros until its shard is written, so that shards may be finished in any order, by any
process; a row of another fingerprint, left by whoever wrote another store here, counts as zeros.
At the end the checksums go into the attributes together with `complete`, in one write of one
object, and the array is removed: a finished store does not show how it came about.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import zarr
from jaxtyping import Float16, UInt8

from qpmstudy.errors import DataError, StoreError
from storage.chunks import chunk_sums
from storage.groups import (
    CHUNK_SUMS,
    RECORD,
    array_of,
    attributes_checksum,
    checksum,
    is_finished,
    read_array,
    read_light,
    written_shards,
)
from storage.places import place_of, reached, remove


class Digests(NamedTuple):
    """SHA-256 of a shard of patches, and of its rows of what lies beside them, in hexadecimal."""

    patches: str
    light: str


def digests(
    patches: Float16[np.ndarray, "n P D"],
    cls: Float16[np.ndarray, "n D"],
    masks: UInt8[np.ndarray, "n P"] | None,
) -> Digests:
    """Return what is recorded of a shard."""
    return Digests(checksum([patches]), checksum([cls] if masks is None else [cls, masks]))


def new_record(group: zarr.Group, shards: int) -> None:
    """Create the record of a store that has no shard yet."""
    group.create_array(
        RECORD, shape=(shards, 3, 32), chunks=(1, 3, 32), dtype="uint8", compressors=None
    )


def note(group: zarr.Group, shard: int, found: Digests) -> None:
    """Record that a shard is written: from now on it counts.

    Raises:
        StoreError: the URL cannot be reached.
    """
    row = b"".join(map(bytes.fromhex, (*found, str(group.attrs["fingerprint"]))))
    with reached(group):
        array_of(group, RECORD)[shard] = np.frombuffer(row, np.uint8).reshape(3, 32)


def missing(group: zarr.Group) -> list[int]:
    """Return the shards that are not written yet.

    Raises:
        DataError: the record is damaged.
        StoreError: the URL cannot be reached.
    """
    written = written_shards(group)
    return [shard for shard in range(array_of(group, RECORD).shape[0]) if shard not in written]


def finish(group: zarr.Group, read_back: bool) -> None:
    """Mark a store complete whose shards are all recorded.

    Args:
        group: the store.
        read_back: read every shard once more: another process may have written it meanwhile.

    Raises:
        StoreError: a shard is not what was recorded. It is forgotten, so that it will be
            computed again; or the URL cannot be reached.
    """
    record = read_array(group, RECORD)
    names = ["cls", "masks"] if group.attrs["has_masks"] else ["cls"]
    unsound = [
        shard
        for shard, (patches, light, _) in enumerate(record)
        if not _sound(group, names, shard, light)
        or (read_back and not _sound(group, ["patches"], shard, patches))
        or not _chunks_sound(group, shard, read_back)
    ]
    if unsound:
        with reached(group):
            for shard in unsound:
                array_of(group, RECORD)[shard] = 0
        raise StoreError(
            f"The embeddings at {place_of(group)} are not complete: shards {unsound} are not what "
            "was written there. Another process writes them, too, or the storage loses data. Run "
            "the same command again, alone: it computes these shards once more."
        )
    attributes: dict[str, Any] = {
        **group.attrs,
        "patches_sha256": [row[0].tobytes().hex() for row in record],
        "light_sha256": checksum(read_light(group).values()),
        "complete": True,
    }
    with reached(group):
        group.update_attributes(  # one write; `attrs.update` would be one for each of them
            {**attributes, "attributes_sha256": attributes_checksum(attributes)}
        )


def forget_record(group: zarr.Group) -> None:
    """Remove the record of a store that is complete, or what a kill left of it."""
    if is_finished(group):
        remove(place_of(group) / RECORD)


def _chunks_sound(group: zarr.Group, shard: int, read_back: bool) -> bool:
    """Return whether the checksums of a shard's chunks are those of what lies there."""
    if not read_back:  # nobody else can have written them
        return True
    step: Any = group.attrs["shard_rows"]
    chunk = array_of(group, "patches").chunks[0]
    block = read_array(group, "patches", slice(shard * step, (shard + 1) * step))
    sums = chunk_sums(block, chunk)
    first = shard * step // chunk
    return np.array_equal(read_array(group, CHUNK_SUMS, slice(first, first + len(sums))), sums)


def _sound(
    group: zarr.Group, names: Sequence[str], shard: int, recorded: UInt8[np.ndarray, "32"]
) -> bool:
    """Return whether rows of these arrays are what was recorded of a shard."""
    step: Any = group.attrs["shard_rows"]
    rows = slice(shard * step, (shard + 1) * step)
    try:
        found = checksum([read_array(group, name, rows) for name in names])
    except DataError:
        return False
    return found == bytes(recorded).hex()
