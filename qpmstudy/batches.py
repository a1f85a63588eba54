"""Batches of tokens for one device, handed out without a fresh copy for each.

n images, T tokens (P patches, and CLS last where it is asked for), D channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float16, Int64
from torch import Tensor

from qpmstudy.embeddings import Embeddings, Shards

# What a step needs besides the tokens is small beside this; two workers may share a GPU.
RESIDENT_SHARE = 0.4
LOADED_AT_ONCE = 256  # images

Batch = tuple[Tensor, Tensor]
"""Tokens (b, T, D) float32 and labels (b,)."""


@dataclass(frozen=True)
class LabelledTokens:
    """The images of one part of a split: where their tokens are and what they show."""

    embeddings: Embeddings
    index: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.index)

    def batch(
        self,
        positions: Int64[np.ndarray, " b"],
        device: torch.device,
        cls: bool = False,
        shards: Shards | None = None,
    ) -> Batch:
        """Return tokens (b, T, D) float32 and labels (b,) of the images at `positions`.

        With `cls` each image's CLS token follows its patches: T = P + 1. `shards` are those
        that `Embeddings.reading` provided.
        """
        chosen = self.index[positions]
        half = torch.from_numpy(self.embeddings.tokens(chosen, cls=cls, shards=shards))
        return half.to(device).float(), torch.from_numpy(self.embeddings.labels[chosen]).to(device)

    def batches(self, size: int, device: torch.device, cls: bool = False) -> Iterator[Batch]:
        """Iterate over all images in order, in batches of at most `size`."""
        with self.embeddings.reading(self.index, size) as shards:
            for start in range(0, len(self), size):
                positions = np.arange(start, min(start + size, len(self)))
                yield self.batch(positions, device, cls, shards)


class Feed:
    """The images at `index` of a store, in batches on `device`.

    On a GPU the half-precision tokens move there once if they fit into a share of its free
    memory. On a CPU they are converted for each batch, which takes 0.4 % of a step
    (tests/benchmarks/results/train.md): twice the memory for all of them would gain no more.
    Streamed tokens that do not fit onto a GPU are read from the disk in every pass.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        index: Int64[np.ndarray, " n"],
        device: torch.device,
        cls: bool = False,
    ) -> None:
        """`cls` puts each image's CLS token behind its patches."""
        self._embeddings, self._index, self._device = embeddings, index, device
        self._cls = cls
        self._labels = torch.from_numpy(embeddings.labels[index]).to(device)
        gpu = device.type == "cuda"
        self._resident = _resident(embeddings, index, device, cls) if gpu else None
        self._half = torch.empty(0, dtype=torch.float16)
        self._single = torch.empty(0, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self._index)

    def shuffled(self, rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
        """Return an order of all positions to train in, drawn anew by each call."""
        if self._resident is not None:
            return rng.permutation(len(self))
        return self._embeddings.shuffled(self._index, rng)

    def batches(self, size: int, order: Int64[np.ndarray, " m"] | None = None) -> Iterator[Batch]:
        """Iterate over the images at the positions `order`, or over all, at most `size` at once.

        On a CPU the tokens of a batch are overwritten by the next.
        """
        order = np.arange(len(self)) if order is None else order
        on_device = torch.from_numpy(order).to(self._device)
        starts = range(0, len(order), size)
        if self._resident is not None:
            for start in starts:
                chosen = on_device[start : start + size]
                yield self._resident[chosen].float(), self._labels[chosen]
            return
        images = self._index[order]
        with self._embeddings.reading(images, size) as shards:
            for start in starts:
                tokens = self._gathered(images[start : start + size], shards)
                yield tokens, self._labels[on_device[start : start + size]]

    def _gathered(self, images: Int64[np.ndarray, " b"], shards: Shards) -> Tensor:
        if self._device.type == "cuda":
            # pinned memory that torch gives out again only when the copy is done
            half = torch.from_numpy(self._embeddings.tokens(images, cls=self._cls, shards=shards))
            return half.pin_memory().to(self._device, non_blocking=True).float()
        if len(self._half) < len(images):
            shape = (len(images), *self._embeddings.tokens_shape(self._cls))
            self._half, self._single = self._half.new_empty(shape), self._single.new_empty(shape)
        half = self._half[: len(images)]
        self._embeddings.tokens(images, half.numpy(), self._cls, shards)
        return self._single[: len(images)].copy_(half)


def _resident(
    embeddings: Embeddings, index: Int64[np.ndarray, " n"], device: torch.device, cls: bool
) -> Float16[Tensor, "n T D"] | None:
    """Return all tokens on a GPU, or None if they would take too much of its free memory."""
    shape = (len(index), *embeddings.tokens_shape(cls))
    free, _ = torch.cuda.mem_get_info(device)
    if 2 * np.prod(shape, dtype=np.int64) > RESIDENT_SHARE * free:
        return None
    resident = torch.empty(shape, dtype=torch.float16, device=device)
    with embeddings.reading(index, LOADED_AT_ONCE) as shards:
        for start in range(0, len(index), LOADED_AT_ONCE):
            chosen = index[start : start + LOADED_AT_ONCE]
            part = torch.from_numpy(embeddings.tokens(chosen, cls=cls, shards=shards))
            resident[start : start + len(part)] = part.to(device)
    return resident
