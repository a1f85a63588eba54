"""Tokens read as plain bytes: equal to what Zarr reads, damage found, any layout and any store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from qpmstudy.errors import DataError
from random_store import random_store
from storage import new_store
from storage.chunks import checked_rows, chunk_sums
from storage.embeddings import EmbeddingStore
from storage.groups import array_of

ROW = 4 * 8 * 2  # bytes of an image


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddingStore:
    """Seventy images in chunks of four and shards of 32."""
    monkeypatch.setattr(new_store, "CHUNK_BYTES", 4 * ROW)
    monkeypatch.setattr(new_store, "SHARD_BYTES", 32 * ROW)
    return random_store(tmp_path / "noise" / "noise", images=70, side=2, dim=8)


def test_chunks_and_shards_are_what_zarr_reads(store: EmbeddingStore) -> None:
    whole = store.patches[:]
    assert (store.shards, store.chunk_rows) == (3, 4)
    shards = [store.read_shard(shard) for shard in range(3)]
    chunks = [store.read_chunk(chunk) for chunk in range(18)]
    assert [len(shard) for shard in shards] == [32, 32, 6]
    assert len(chunks[-1]) == 2
    for parts in (shards, chunks):
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        assert not any(part.flags.writeable for part in parts)


@pytest.mark.parametrize("read", [EmbeddingStore.read_chunk, EmbeddingStore.read_shard])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_is_found(
    store: EmbeddingStore, read: Callable[[EmbeddingStore, int], object], bit: int
) -> None:
    path = store.path / "patches" / "c" / "0" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[5] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"0 of patches has not the checksums .* --force"):
        read(store, 0)
    store.read_chunk(1)  # the others are as they were


def test_verification_reads_what_zarr_reads(store: EmbeddingStore) -> None:
    """The index behind the tokens is not needed here, but whoever else opens the store needs it."""
    path = store.path / "patches" / "c" / "0" / "0" / "0"
    path.write_bytes(path.read_bytes()[:-8])
    store.read_shard(0)
    store.check_shard(1)
    with pytest.raises(DataError, match="shard 0 of patches"):
        store.check_shard(0)


def test_shards_of_another_layout_are_read_by_zarr(store: EmbeddingStore) -> None:
    whole = store.patches[:]
    group = zarr.open_group(store.path, mode="r+")
    group.create_array(
        "patches",
        shape=whole.shape,
        chunks=(4, 4, 8),
        shards=(32, 4, 8),
        dtype="float16",
        compressors=zarr.codecs.ZstdCodec(),
        overwrite=True,
    )[:] = whole
    other = EmbeddingStore(store.path, group)
    np.testing.assert_array_equal(other.read_shard(1), whole[32:64])
    np.testing.assert_array_equal(other.read_chunk(17), whole[68:])


def test_a_store_that_is_no_folder_is_read_as_plain_bytes_too(store: EmbeddingStore) -> None:
    memory = MemoryStore(
        {
            path.relative_to(store.path).as_posix(): zarr.core.buffer.cpu.Buffer.from_bytes(
                path.read_bytes()
            )
            for path in store.path.rglob("*")
            if path.is_file()
        }
    )
    array = array_of(zarr.open_group(memory, mode="r"), "patches")
    sums = chunk_sums(store.patches[:], 4)
    found = checked_rows(array, 36, 44, sums[9:11])
    assert found is not None
    np.testing.assert_array_equal(found, store.patches[36:44])
    assert checked_rows(array, 36, 44, sums[8:10]) is None
    assert checked_rows(array, 96, 100, sums[:1]) is None


def test_a_checksum_tells_every_chunk_apart() -> None:
    block = np.random.default_rng(0).standard_normal((10, 2, 3)).astype(np.float16)
    sums = chunk_sums(block, 4)
    assert len(set(sums.tolist())) == 3
    changed = block.copy()
    changed[9, 1, 2] += 1
    assert (chunk_sums(changed, 4) == sums).tolist() == [True, True, False]
