"""Memory is asked for before it is used: what fits is shared, what does not is streamed."""

from pathlib import Path

import numpy as np
import pytest

from qpmstudy.errors import ConfigError, DataError
from random_store import random_store
from storage import new_store
from storage.embeddings import EmbeddingStore
from storage.memory import LIMIT, allowed_memory, needed
from storage.reading import plan_reading, streamed_chunks

KIB = 2**10
IMAGE = KIB  # bytes of patch tokens


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[EmbeddingStore]:
    """Stores of 64 and 640 KiB and a little more, in chunks of 2 KiB."""
    monkeypatch.setattr(new_store, "CHUNK_BYTES", 2 * IMAGE)
    monkeypatch.setattr(new_store, "SHARD_BYTES", 32 * IMAGE)
    return [
        random_store(tmp_path / name / "noise", images, side=2, dim=128)
        for name, images in (("small", 64), ("large", 640))
    ]


def test_what_a_store_needs(stores: list[EmbeddingStore]) -> None:
    assert needed(stores[0]) == 64 * (2 * 4 * 128 + 2 * 128)


@pytest.mark.parametrize("allowed", [None, 900 * KIB])
def test_what_fits_is_shared(stores: list[EmbeddingStore], allowed: int | None) -> None:
    reading = plan_reading(stores, allowed, tasks=2)
    assert reading.shared == tuple(stores)
    assert [reading.window(store) for store in stores] == [None, None]
    (line,) = reading.lines()
    expected = "880.0 KiB of the 900.0 KiB of memory they may take"
    assert line == f"embeddings: {expected if allowed else '880.0 KiB of memory'}"


def test_what_does_not_fit_is_streamed_and_says_so_with_the_numbers(
    stores: list[EmbeddingStore],
) -> None:
    reading = plan_reading(stores, 400 * KIB, tasks=2)
    assert reading.shared == (stores[0],)
    # (400 - 80) KiB for two tasks, of which each holds two windows: 40 chunks, a power of two
    assert reading.window(stores[1]) == 32
    assert reading.lines() == [
        "embeddings: 880.0 KiB do not fit into the 400.0 KiB they may take",
        "  noise by noise: 80.0 KiB in memory",
        "  noise by noise: 800.0 KiB streamed from disk, shuffled within windows of 64.0 KiB "
        "(64 images); 2 tasks at once hold two each",
    ]
    assert plan_reading(stores, 100 * KIB).shared == ()
    assert plan_reading(stores, 390 * KIB, tasks=2).window(stores[1]) == 32


@pytest.mark.parametrize("allowed", [0, 7 * KIB])
def test_not_even_two_chunks_a_task(stores: list[EmbeddingStore], allowed: int) -> None:
    with pytest.raises(
        DataError, match=r"2 tasks at once need 8\.0 KiB .* of the .* are left\. .*QPMSTUDY_MEMORY"
    ):
        plan_reading(stores, allowed, tasks=2).lines()


def test_a_streamed_store_has_the_tokens_of_the_store(stores: list[EmbeddingStore]) -> None:
    chunks = streamed_chunks(stores[1], 8)
    assert chunks.lengths == (2,) * 320
    assert chunks.shape == (4, 128)
    np.testing.assert_array_equal(chunks[319], stores[1].read_shard(19)[-2:])


@pytest.mark.parametrize(
    ("text", "size"), [("512MiB", 2**29), ("1.5 GiB", 3 * 2**29), (" 77B", 77), ("0B", 0)]
)
def test_the_user_may_say_how_much(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, text)
    assert allowed_memory(5) == size


def test_else_it_is_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT, raising=False)
    assert allowed_memory(5) == 5
    assert allowed_memory(None) is None


@pytest.mark.parametrize("text", ["", "lots", "20", "20GB", "-1GiB", "1e3MiB"])
def test_what_is_no_amount_of_memory(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(ConfigError, match=r"QPMSTUDY_MEMORY = .* is no amount .*such as 20GiB"):
        allowed_memory(5)
