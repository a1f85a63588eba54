"""Frozen embeddings, as every stage reads them: in memory, or streamed from a disk.

Symbols: N images, P patches on a rows x cols grid, D channels, C classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float16, Int64, Shaped, UInt8
from numpy.typing import NDArray

from qpmstudy.errors import DataError
from qpmstudy.streaming import ReadAhead, StreamedChunks, window_order

Shards = Sequence[NDArray[np.float16]] | StreamedChunks | ReadAhead
"""What has shard number i, or chunk number i of a streamed store, at [i]."""


@dataclass(frozen=True)
class Embeddings:
    """One store of frozen embeddings.

    `patches` is a sequence of shards rather than one array: shards arrive as separate
    zero-copy views of a node's shared memory, and joining them would copy every byte. Where
    they do not fit into memory they are `StreamedChunks`.
    """

    dataset: str
    backbone: str
    fingerprint: str  # content hash over images, preprocessing, backbone and weights
    class_names: tuple[str, ...]
    grid: tuple[int, int]
    preprocessing: Mapping[str, object]
    weight_hash: str  # of the backbone
    patches: Sequence[Float16[np.ndarray, "_ P D"]] | StreamedChunks
    cls: Float16[np.ndarray, "N D"]
    labels: Int64[np.ndarray, " N"]
    splits: Shaped[np.ndarray, " N"]  # "train", "test", or another held-out split
    masks: UInt8[np.ndarray, "N P"] | None
    ids: tuple[str, ...]  # image paths below the dataset's image folder
    image_root: str  # where those images were when the store was written

    @property
    def dim(self) -> int:
        """Return D, the number of channels of a token."""
        return self.tokens_shape()[1]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        if isinstance(self.patches, StreamedChunks):
            return np.cumsum([0, *self.patches.lengths])
        return np.cumsum([0, *(len(shard) for shard in self.patches)])

    def _owners(self, index: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return which shard, or streamed chunk, each image is in."""
        return np.searchsorted(self._starts, index, side="right") - 1

    def indices(self, split: str) -> Int64[np.ndarray, " n"]:
        """Return the positions of the images of one split, ascending."""
        return np.flatnonzero(self.splits == split)

    def held_out_splits(self) -> tuple[str, ...]:
        """Return the names of the splits that are not for training, "test" first."""
        return held_out(set(self.splits.tolist()))

    def tokens_shape(self, cls: bool = False) -> tuple[int, int]:
        """Return (T, D), the shape of what `tokens` gives for one image."""
        if isinstance(self.patches, StreamedChunks):
            patches, dim = self.patches.shape
        else:
            patches, dim = self.patches[0].shape[1:]
        return (int(patches) + cls, int(dim))

    def shuffled(
        self, index: Int64[np.ndarray, " n"], rng: np.random.Generator
    ) -> Int64[np.ndarray, " n"]:
        """Return the positions in `index` in an order to train in: each once, at random.

        Streamed chunks are shuffled window by window, which is another order.
        """
        if isinstance(self.patches, StreamedChunks):
            return window_order(self._owners(index), self.patches.window, rng)
        return rng.permutation(len(index))

    def reading(self, index: Int64[np.ndarray, " n"], size: int) -> AbstractContextManager[Shards]:
        """Provide shards for `tokens` of the images at `index`, `size` after `size` in that order.

        Streamed ones are read ahead of their turn, and let go after it.
        """
        if not isinstance(self.patches, StreamedChunks):
            return nullcontext(self.patches)
        owners = self._owners(index)
        starts = range(0, len(index), size)
        return self.patches.ahead([np.unique(owners[start : start + size]) for start in starts])

    def tokens(
        self,
        index: Int64[np.ndarray, " n"],
        out: Float16[np.ndarray, "n T D"] | None = None,
        cls: bool = False,
        shards: Shards | None = None,
    ) -> Float16[np.ndarray, "n T D"]:
        """Gather the patch tokens of the images at `index`, in that order, into `out` if given.

        With `cls` each image's CLS token follows its patches: T = P + 1. `shards` are those that
        `reading` provided; without them streamed ones are read for this call alone.
        """
        if out is None:
            out = np.empty((len(index), *self.tokens_shape(cls)), np.float16)
        source = self.patches if shards is None else shards
        owners = self._owners(index)
        patches = slice(-1) if cls else slice(None)
        # Shard by shard: one may have to be read. Image by image: indexing with an array would
        # copy what it gathers a second time.
        owner = -1
        for place in np.argsort(owners, kind="stable"):
            if owners[place] != owner:
                owner = int(owners[place])
                shard, start = source[owner], self._starts[owner]
            out[place, patches] = shard[index[place] - start]
        if cls:
            out[:, -1] = self.cls[index]
        return out


def held_out(splits: Iterable[str]) -> tuple[str, ...]:
    """Return which of these splits are not for training, "test" first."""
    return tuple(sorted(set(splits) - {"train"}, key=lambda name: (name != "test", name)))


def stratified_split(
    labels: Int64[np.ndarray, " n"], share: float, seed: int
) -> tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " b"]]:
    """Divide positions 0..n-1 into two parts with every class in the same proportion.

    Args:
        labels: class of each image.
        share: fraction of each class that goes to the second part, rounded to whole images.
        seed: decides which images those are.

    Returns:
        Positions of the first and of the second part, each ascending.

    Raises:
        DataError: `share` would take every image of a class, or none of any class.
    """
    if share == 0:
        return np.arange(len(labels)), np.empty(0, dtype=np.int64)
    rng = np.random.default_rng([seed, 0x5B117])
    taken = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(share * len(members))
        if count >= len(members):
            raise DataError(
                f"Class {label} has {len(members)} training image(s): holding out "
                f"{share:.0%} leaves none to train on. Lower split.validation."
            )
        taken.append(rng.permutation(members)[:count])
    second = np.sort(np.concatenate(taken))
    if not len(second):
        raise DataError(
            f"split.validation = {share} holds out no image: the classes have at most "
            f"{np.bincount(labels).max()} training images. Raise it, or use protocol: paper."
        )
    return np.setdiff1d(np.arange(len(labels)), second), second
