"""Batches: every image where it belongs, converted, and none left behind by the one before."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qpmstudy.batches import Feed
from qpmstudy.embeddings import Embeddings

CPU = torch.device("cpu")


@given(size=st.integers(1, 50), seed=st.integers(0, 99))
def test_batches_follow_the_order(embeddings: Embeddings, size: int, seed: int) -> None:
    index = embeddings.indices("train")
    order = np.random.default_rng(seed).permutation(len(index))[:40]
    feed = Feed(embeddings, index, CPU)
    found = [(tokens.clone(), labels) for tokens, labels in feed.batches(size, order)]
    tokens, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    assert [len(part) for part, _ in found[:-1]] == [size] * (len(found) - 1)
    assert tokens.dtype == torch.float32
    assert torch.equal(tokens, torch.from_numpy(embeddings.tokens(index[order])).float())
    np.testing.assert_array_equal(labels.numpy(), embeddings.labels[index[order]])


def test_without_an_order_all_images_come_as_they_are(embeddings: Embeddings) -> None:
    index = embeddings.indices("test")
    ((tokens, labels),) = Feed(embeddings, index, CPU).batches(100)
    assert torch.equal(tokens, torch.from_numpy(embeddings.tokens(index)).float())
    np.testing.assert_array_equal(labels.numpy(), embeddings.labels[index])


def test_batches_of_growing_size_share_one_feed(embeddings: Embeddings) -> None:
    index = embeddings.indices("train")
    feed = Feed(embeddings, index, CPU)
    for size in (4, 50, 7):
        for start, (tokens, _) in zip(range(0, 60, size), feed.batches(size), strict=True):
            wanted = torch.from_numpy(embeddings.tokens(index[start : start + size])).float()
            assert torch.equal(tokens, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_gpu_gets_the_same_batches_resident_or_not(
    embeddings: Embeddings, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpmstudy.batches.RESIDENT_SHARE", share)
    index = embeddings.indices("train")
    gpu = Feed(embeddings, index, torch.device("cuda"))
    here = Feed(embeddings, index, CPU)
    order = np.random.default_rng(0).permutation(len(index))
    pairs = zip(gpu.batches(16, order), here.batches(16, order), strict=True)
    for (tokens, labels), (wanted, wanted_labels) in pairs:
        assert torch.equal(tokens.cpu(), wanted)
        assert torch.equal(labels.cpu(), wanted_labels)
