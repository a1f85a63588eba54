"""Chunks of a store that memory does not hold: read when they are needed, ahead of their turn.

A chunk is a few images, not a whole shard: stores are sorted by class, and a window of shards
would hold few classes at a time, on which training goes visibly another way.
n images, P patches of each, D channels.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Int64
from numpy.typing import NDArray

READERS = 2
"""Threads that read: one waits for the disk while another compares checksums."""


@dataclass(frozen=True)
class StreamedChunks:
    """Chunks on a disk, as `Embeddings.patches` takes them; each access reads one anew.

    This is no `Sequence`, which code may look into without a thought.

    Attributes:
        read: returns chunk `number`, (n, P, D); called from another thread, too.
        lengths: images of each chunk.
        shape: (P, D).
        window: how many chunks are shuffled together.
    """

    read: Callable[[int], NDArray[np.float16]]
    lengths: tuple[int, ...]
    shape: tuple[int, int]
    window: int

    @property
    def held(self) -> int:
        """Return how many chunks are in memory at once: a window, and the next one."""
        return 2 * self.window

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.lengths)

    def __getitem__(self, chunk: int) -> Float16[np.ndarray, "n P D"]:
        """Return a chunk, which is read for it."""
        return self.read(chunk)

    @contextmanager
    def ahead(self, uses: Sequence[Int64[np.ndarray, "_"]]) -> Iterator["ReadAhead"]:
        """Provide the chunks for batches, of which each asks for those in its `uses`, once each."""
        with ThreadPoolExecutor(READERS) as pool:
            reading = ReadAhead(self, uses, pool)
            try:
                yield reading
            finally:
                pool.shutdown(cancel_futures=True)


class ReadAhead:
    """Chunks that threads read in the order of their first use, while others are worked on.

    Each is held from then until its last use, so that none is read twice in an order that
    `window_order` made, nor in that of the store. In any other, too, no more than `held` are in
    memory, and the one that is asked for: what finds no room is read again.
    """

    def __init__(
        self,
        chunks: StreamedChunks,
        uses: Sequence[Int64[np.ndarray, "_"]],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._chunks, self._pool = chunks, pool
        self._left = Counter(int(chunk) for batch in uses for chunk in batch)
        self._coming = deque(self._left)
        self._held: dict[int, Future[NDArray[np.float16]]] = {}
        self._fill()

    def __getitem__(self, chunk: int) -> NDArray[np.float16]:
        """Return a chunk, waiting for it if need be, and count this as one of its uses."""
        self._left[chunk] -= 1
        future = self._held.get(chunk)
        if future is None:
            return self._chunks.read(chunk)
        if not self._left[chunk]:
            del self._held[chunk]
        block = future.result()
        self._fill()
        return block

    def _fill(self) -> None:
        while self._coming and len(self._held) < self._chunks.held:
            chunk = self._coming.popleft()
            if self._left[chunk]:
                self._held[chunk] = self._pool.submit(self._chunks.read, chunk)


def window_order(
    owners: Int64[np.ndarray, " n"], window: int, rng: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """Return the positions 0..n-1 at random, such that few chunks are needed at a time.

    Chunks come in random order, `window` of them together, and the images of these in random
    order: every image once. The larger the window, the closer to a shuffle of everything.

    Args:
        owners: which chunk each image is in.
        window: how many chunks are shuffled together.
        rng: decides both orders.
    """
    chunks = rng.permutation(np.unique(owners))
    turn = np.zeros(int(owners.max(initial=0)) + 1, dtype=np.int64)
    turn[chunks] = np.arange(len(chunks)) // window
    return np.lexsort((rng.permutation(len(owners)), turn[owners]))
