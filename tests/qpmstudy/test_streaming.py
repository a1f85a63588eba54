"""Streaming: every image once, chunks read in time and once, memory bounded, same training."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qpmstudy.batches import Feed, LabelledTokens
from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import DataError
from qpmstudy.pipeline import run_pipeline, run_stage
from qpmstudy.streaming import StreamedChunks, window_order

CPU = torch.device("cpu")
ROWS = 2


class Disk:
    """The tokens of a store in chunks of two images; notes what is read."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.tokens = np.concatenate(embeddings.patches)
        self.read_chunks: list[int] = []
        self.damaged: int | None = None

    def read(self, chunk: int) -> NDArray[np.float16]:
        if chunk == self.damaged:
            raise DataError(f"chunk {chunk} is damaged")
        self.read_chunks.append(chunk)
        return self.tokens[chunk * ROWS : (chunk + 1) * ROWS].copy()

    def streamed(self, embeddings: Embeddings, window: int) -> Embeddings:
        count = len(self.tokens) // ROWS
        shape = self.tokens.shape[1], self.tokens.shape[2]
        chunks = StreamedChunks(self.read, (ROWS,) * count, shape, window)
        return replace(embeddings, patches=chunks)


@pytest.fixture
def disk(embeddings: Embeddings) -> Disk:
    return Disk(embeddings)


@given(
    lengths=st.lists(st.integers(0, 6), max_size=12),
    window=st.integers(1, 15),
    seed=st.integers(0, 99),
)
def test_every_image_comes_once_and_its_chunk_with_few_others(
    lengths: list[int], window: int, seed: int
) -> None:
    owners = np.repeat(np.arange(len(lengths)), lengths)
    order = window_order(owners, window, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(owners)))
    again = window_order(owners, window, np.random.default_rng(seed))
    np.testing.assert_array_equal(order, again)
    visited = owners[order].tolist()
    groups: list[set[int]] = [set()]
    for chunk in visited:  # a new group begins where the window is full
        if chunk not in groups[-1] and len(groups[-1]) == window:
            groups.append(set())
        groups[-1].add(chunk)
    assert sum(map(len, groups)) == len(set(visited))  # none is in two groups


def test_all_images_of_a_window_are_mixed() -> None:
    owners = np.repeat(np.arange(8), 50)
    order = window_order(owners, 4, np.random.default_rng(0))
    for half in (order[:200], order[200:]):
        counts = np.bincount(owners[half[:100]], minlength=8)
        assert (counts[counts > 0] > 10).all()
        assert (counts > 0).sum() == 4
    first = {
        tuple(window_order(owners, 4, np.random.default_rng(seed))[:3].tolist())
        for seed in range(10)
    }
    assert len(first) == 10


@given(size=st.integers(1, 50), window=st.integers(1, 30), seed=st.integers(0, 9))
def test_an_epoch_reads_each_chunk_once_and_holds_two_windows(
    embeddings: Embeddings, size: int, window: int, seed: int
) -> None:
    disk = Disk(embeddings)
    streamed = disk.streamed(embeddings, window)
    index = embeddings.indices("train")
    feed = Feed(streamed, index, CPU)
    order = feed.shuffled(np.random.default_rng(seed))
    done: set[int] = set()
    for number, (tokens, labels) in enumerate(feed.batches(size, order)):
        images = index[order[number * size : (number + 1) * size]]
        assert torch.equal(tokens, torch.from_numpy(embeddings.tokens(images)).float())
        np.testing.assert_array_equal(labels.numpy(), embeddings.labels[images])
        left = set((index[order[(number + 1) * size :]] // ROWS).tolist())
        done = set((index[order] // ROWS).tolist()) - left
        assert len(set(disk.read_chunks) - done) <= 2 * window
    assert sorted(disk.read_chunks) == sorted(done)


def test_the_next_chunk_is_read_while_one_is_worked_on(disk: Disk, embeddings: Embeddings) -> None:
    """Without a thread that reads ahead, the second read would come only after this test."""
    arrived = threading.Event()

    def read(chunk: int) -> NDArray[np.float16]:
        block = disk.read(chunk)
        if chunk == 1:
            arrived.set()
        return block

    streamed = disk.streamed(embeddings, 1)
    assert isinstance(streamed.patches, StreamedChunks)
    chunks = replace(streamed.patches, read=read)
    part = LabelledTokens(replace(streamed, patches=chunks), np.arange(8))
    batches = part.batches(ROWS, CPU)
    next(batches)
    assert arrived.wait(30)
    batches.close()


@pytest.mark.parametrize("window", [1, 4])
def test_an_order_that_nobody_planned_is_still_right(
    disk: Disk, embeddings: Embeddings, window: int
) -> None:
    streamed = disk.streamed(embeddings, window)
    order = np.random.default_rng(0).permutation(96)
    found = [tokens.clone() for tokens, _ in Feed(streamed, np.arange(96), CPU).batches(5, order)]
    assert torch.equal(torch.cat(found), torch.from_numpy(embeddings.tokens(order)).float())
    disk.read_chunks.clear()
    np.testing.assert_array_equal(streamed.tokens(order), embeddings.tokens(order))
    assert disk.read_chunks == list(range(48))  # by one call, each once


def test_a_chunk_that_cannot_be_read_ends_the_pass(disk: Disk, embeddings: Embeddings) -> None:
    disk.damaged = 7
    streamed = disk.streamed(embeddings, 2)
    threads = threading.active_count()
    with pytest.raises(DataError, match="chunk 7 is damaged"):
        list(Feed(streamed, np.arange(96), CPU).batches(8))
    assert threading.active_count() == threads


def test_in_memory_the_order_is_a_shuffle_of_everything(embeddings: Embeddings) -> None:
    index = embeddings.indices("train")
    found = Feed(embeddings, index, CPU).shuffled(np.random.default_rng(3))
    np.testing.assert_array_equal(found, np.random.default_rng(3).permutation(60))


def test_what_is_not_shuffled_is_equal(
    disk: Disk, embeddings: Embeddings, tiny_config: PipelineConfig
) -> None:
    """A whole pipeline of 48 chunks, 6 held: its dense model comes by another order of batches."""
    config = with_values(tiny_config, {"dense.epochs": 2, "finetune.epochs": 2})
    streamed = disk.streamed(embeddings, 3)
    outputs = run_pipeline(config, streamed, seed=0)
    again = run_pipeline(config, streamed, seed=0)
    for stage, output in outputs.items():
        assert output.facts["window"] == 3
        for name, tensor in output.tensors.items():
            assert torch.equal(tensor.nan_to_num(), again[stage].tensors[name].nan_to_num())
    before = run_stage("evaluate", config, embeddings, outputs, seed=0)
    assert "window" not in before.facts
    for name, tensor in before.tensors.items():
        assert torch.equal(tensor.nan_to_num(), outputs["evaluate"].tensors[name].nan_to_num())


def test_loss_curves_are_those_of_training_in_memory(
    larger: Embeddings, tiny_config: PipelineConfig
) -> None:
    """Memory for a third of the store, which is sorted by class: a sixth is shuffled together."""
    streamed = Disk(larger).streamed(larger, window=len(larger.labels) // ROWS // 6)
    config = with_values(tiny_config, {"dense.epochs": 5, "dense.batch": 16})

    def curves(read: Embeddings) -> NDArray[np.float64]:
        outputs = [run_stage("dense", config, read, {}, seed) for seed in range(6)]
        histories: list[Any] = [output.facts["history"] for output in outputs]
        return np.array([[record["loss"] for record in history] for history in histories])

    ours, theirs = curves(streamed), curves(larger)
    assert ours[:, -1].mean() < 0.7 * ours[:, 0].mean()  # there is something to compare
    # Within what one seed differs from another. Windows of whole shards, a sixth of the store as
    # well, end seven such spreads away: they hold few of the classes at a time.
    spread = np.sqrt((ours.var(0, ddof=1) + theirs.var(0, ddof=1)) / 2)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 2 * spread).all()
