"""Embeddings in memory: gathering over shards, and a split that is stratified and seeded."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qpmstudy.embeddings import Embeddings, stratified_split
from qpmstudy.errors import DataError


@given(
    cuts=st.lists(st.integers(0, 96), max_size=6),
    index=st.lists(st.integers(0, 95), max_size=40),
)
def test_tokens_are_gathered_across_shards(
    embeddings: Embeddings, cuts: list[int], index: list[int]
) -> None:
    """Whatever the shards are, empty ones included; images may come twice and in any order."""
    whole = np.concatenate(embeddings.patches)
    bounds = [0, *sorted(cuts), len(whole)]
    shards = [whole[a:b] for a, b in pairwise(bounds)]
    cut = replace(embeddings, patches=shards)
    chosen = np.array(index, dtype=np.int64)
    assert torch.equal(torch.from_numpy(cut.tokens(chosen)), torch.from_numpy(whole[chosen]))
    assert cut.dim == 12


def test_gathered_tokens_are_a_copy(embeddings: Embeddings) -> None:
    before = embeddings.patches[0].copy()
    torch.from_numpy(embeddings.tokens(np.array([0, 1]))).zero_()
    np.testing.assert_array_equal(embeddings.patches[0], before)


def test_an_image_that_is_not_there(embeddings: Embeddings) -> None:
    with pytest.raises(IndexError, match="out of range"):
        torch.from_numpy(embeddings.tokens(np.array([96])))


def test_splits(embeddings: Embeddings) -> None:
    assert embeddings.held_out_splits() == ("test", "shift")
    found = [embeddings.indices(name) for name in ("train", "test", "shift", "none")]
    assert [len(index) for index in found] == [60, 24, 12, 0]
    assert sorted(np.concatenate(found).tolist()) == list(range(96))
    assert all((np.diff(index) > 0).all() for index in found)


LABELS = st.lists(st.integers(0, 5), min_size=4, max_size=80)


@given(labels=LABELS, share=st.floats(0.01, 0.5), seed=st.integers(0, 2**31))
def test_a_split_is_stratified(labels: list[int], share: float, seed: int) -> None:
    given_labels = np.array(labels, dtype=np.int64)
    try:
        first, second = stratified_split(given_labels, share, seed)
    except DataError:
        counts = np.bincount(given_labels)
        assert all(round(share * int(n)) == 0 for n in counts)
        return
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert (np.diff(first) > 0).all()
    assert (np.diff(second) > 0).all()
    for label in set(labels):
        members = int((given_labels == label).sum())
        assert int((given_labels[second] == label).sum()) == round(share * members)
    again = stratified_split(given_labels, share, seed)
    np.testing.assert_array_equal(again[1], second)


def test_the_seed_decides_who_is_held_out() -> None:
    labels = np.repeat(np.arange(10), 20)
    seconds = {tuple(stratified_split(labels, 0.2, seed)[1].tolist()) for seed in range(10)}
    assert len(seconds) == 10
    held = np.concatenate([stratified_split(labels, 0.2, seed)[1] for seed in range(200)])
    share = np.bincount(held, minlength=len(labels)) / 200  # every image has its chance
    assert share.min() > 0.08
    assert share.max() < 0.35


def test_nothing_is_held_out_of_nothing() -> None:
    first, second = stratified_split(np.zeros(3, dtype=np.int64), 0, 0)
    assert first.tolist() == [0, 1, 2]
    assert second.tolist() == []


def test_shares_that_cannot_be() -> None:
    labels = np.array([0, 0, 0, 1])
    with pytest.raises(
        DataError, match=r"Class 0 has 3 training image.*90% leaves none .*Lower split.validation"
    ):
        stratified_split(labels, 0.9, 0)
    with pytest.raises(DataError, match=r"split.validation = 0.01 holds out no image.*at most 3"):
        stratified_split(labels, 0.01, 0)
