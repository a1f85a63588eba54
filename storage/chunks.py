"""Patch tokens as the plain bytes that they are on the disk, chunk by chunk, each checked.

Zarr decodes a shard chunk by chunk at a fifth of the speed at which a disk's cache gives it
(tests/benchmarks/store). Chunks are not compressed, so a shard begins with them in
their order, and one read gives all. That this is so is not taken for granted: what does not have
the checksums that were written is read once more by Zarr.

The checksum is XXH3 with 64 bits, twenty times as fast as SHA-256. Damage by chance goes
unnoticed once in 2^64; against damage on purpose neither helps, since whoever changes tokens can
change what is recorded about them.
"""

from collections.abc import Callable
from mmap import MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any

import numpy as np
import xxhash
import zarr
from jaxtyping import Float16, UInt64
from numpy.typing import NDArray
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, StorePath

CHUNK_CHECKSUM = "xxh3_64"
"""What a store calls it."""


Memory = Callable[[int], memoryview]
"""Gives so many bytes to read into."""


def pages_of_its_own(size: int) -> memoryview:
    """Return memory that goes back to the system at once when it is no longer used.

    For what is read and dropped again and again: the allocator keeps what threads have freed,
    half as much again as a window of chunks.
    """
    pages = mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    pages.madvise(MADV_HUGEPAGE)
    return memoryview(pages)


def allocated(size: int) -> memoryview:
    """Return memory of the allocator.

    For what is read shard after shard: a page that was used before need not be faulted in, which
    takes several times as long as to fill it (tests/benchmarks/store).
    """
    return np.empty(size, np.uint8).data


def chunk_sums(block: Float16[np.ndarray, "n P D"], rows: int) -> UInt64[np.ndarray, " chunks"]:
    """Return the XXH3 checksum of each `rows` images; the last may be fewer."""
    parts = (np.ascontiguousarray(block[i : i + rows]) for i in range(0, len(block), rows))
    return np.array([xxhash.xxh3_64_intdigest(part.data) for part in parts], dtype=np.uint64)


def checked_rows(
    array: zarr.Array[Any],
    start: int,
    stop: int,
    sums: UInt64[np.ndarray, " chunks"],
    memory: Memory = allocated,
) -> Float16[np.ndarray, "n P D"] | None:
    """Return the rows of whole chunks of one shard as they lie there, read-only.

    None where bytes that have the checksums `sums` do not lie there.
    """
    assert array.shards is not None, "a store has shards"
    shard, first = divmod(start, array.shards[0])
    shape = (stop - start, *array.shape[1:])
    row = int(np.prod(shape[1:])) * array.dtype.itemsize
    place = array.store_path / array.metadata.encode_chunk_key((shard, *(0,) * (array.ndim - 1)))
    where = RangeByteRequest(first * row, (first + stop - start) * row)
    step, expected = array.chunks[0] * row, sums.tolist()
    if isinstance(place.store, LocalStore):
        found = _local(place, where, step, expected, memory)
    else:
        found = _remote(place, where, step, expected)
    if found is None:
        return None
    block: NDArray[np.float16] = np.frombuffer(found, array.dtype).reshape(shape)
    block.flags.writeable = False
    return block


def _local(
    place: StorePath, where: RangeByteRequest, step: int, sums: list[int], memory: Memory
) -> memoryview | None:
    """Read without the two threads that Zarr sends each request through."""
    assert isinstance(place.store, LocalStore)
    found = memory(where.end - where.start)
    try:
        with (place.store.root / place.path).open("rb", buffering=0) as file:
            file.seek(where.start)
            # Compared while the processor's cache has it, a checksum takes next to nothing.
            for begin, expected in zip(range(0, len(found), step), sums, strict=True):
                part = found[begin : begin + step]
                if file.readinto(part) < len(part) or xxhash.xxh3_64_intdigest(part) != expected:
                    return None
    except OSError:  # Zarr's own attempt tells what it is
        return None
    return found


def _remote(
    place: StorePath, where: RangeByteRequest, step: int, sums: list[int]
) -> memoryview | None:
    buffer = sync(place.get(prototype=default_buffer_prototype(), byte_range=where))
    if buffer is None or len(buffer) < where.end - where.start:
        return None
    found = memoryview(buffer.to_bytes())
    parts = (found[begin : begin + step] for begin in range(0, len(found), step))
    return found if [xxhash.xxh3_64_intdigest(part) for part in parts] == sums else None
