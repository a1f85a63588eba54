"""How a study reads its stores: into the memory that tasks of a node share, or from the disk.

What is in memory is the same for every task of a node. What does not fit is streamed: each task
holds a window of chunks, and reads the next one while it works.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qpmstudy.errors import DataError
from qpmstudy.streaming import StreamedChunks
from storage.embeddings import EmbeddingStore
from storage.memory import LIMIT, needed
from storage.sizes import readable


@dataclass(frozen=True)
class Reading:
    """Which stores are in the memory of each node, and what is left for windows of the others.

    Attributes:
        allowed: bytes that embeddings may take on a node; None where nobody knows.
        shared: stores in memory.
        streamed: stores read from the disk.
        tasks: how many tasks may read on a node at once.
    """

    allowed: int | None
    shared: tuple[EmbeddingStore, ...]
    streamed: tuple[EmbeddingStore, ...]
    tasks: int = 1

    @property
    def shared_bytes(self) -> int:
        """Return what the stores in memory take on a node."""
        return sum(map(needed, self.shared))

    def window(self, store: EmbeddingStore) -> int | None:
        """Return how many chunks of a store a task shuffles together; None if it is in memory.

        It is a power of two: the order of batches depends on it, and a little more or less free
        memory shall not change that.

        Raises:
            DataError: there is not even room for one, and the next.
        """
        if store.path not in [streamed.path for streamed in self.streamed]:
            return None
        assert self.allowed is not None, "what is not limited is not streamed"
        room = (self.allowed - self.shared_bytes) // self.tasks
        pair = 2 * chunk_bytes(store)
        if room < pair:
            raise DataError(
                f"{_name(store)} is streamed, for which {_tasks(self.tasks)} at once need "
                f"{readable(self.tasks * pair)} (two chunks each), but of the "
                f"{readable(self.allowed)} that embeddings may take {readable(room * self.tasks)} "
                f"are left. Free memory, allow more ({LIMIT}=2GiB), or run fewer tasks at once "
                "(stages: {dense: {cpu: 4}, finetune: {cpu: 4}} in the study file)."
            )
        return min(1 << (room // pair).bit_length() - 1, chunks_of(store))

    def lines(self) -> list[str]:
        """Return what to tell, before anything is read.

        Raises:
            DataError: as `window`.
        """
        whole = readable(sum(map(needed, (*self.shared, *self.streamed))))
        if self.allowed is None:
            return [f"embeddings: {whole} of memory"]
        if not self.streamed:
            return [f"embeddings: {whole} of the {readable(self.allowed)} of memory they may take"]
        lines = [f"embeddings: {whole} do not fit into the {readable(self.allowed)} they may take"]
        lines += [f"  {_name(store)}: {readable(needed(store))} in memory" for store in self.shared]
        for store in self.streamed:
            window = self.window(store)
            assert window is not None
            lines.append(
                f"  {_name(store)}: {readable(needed(store))} streamed from disk, shuffled within "
                f"windows of {readable(window * chunk_bytes(store))} "
                f"({window * store.chunk_rows} images); {_tasks(self.tasks)} at once hold two each"
            )
        return lines


def plan_reading(stores: Sequence[EmbeddingStore], allowed: int | None, tasks: int = 1) -> Reading:
    """Return which stores are read into memory: all if they fit.

    If not, the smallest, as many as half of the memory holds: the other half is for windows.

    Args:
        stores: what a study reads.
        allowed: bytes that embeddings may take on a node; None where nobody knows.
        tasks: how many tasks may read on a node at once.
    """
    if allowed is None or sum(map(needed, stores)) <= allowed:
        return Reading(allowed, tuple(stores), (), tasks)
    shared: list[EmbeddingStore] = []
    streamed: list[EmbeddingStore] = []
    left = allowed // 2
    for store in sorted(stores, key=needed):
        left -= needed(store)
        (shared if left >= 0 else streamed).append(store)
    return Reading(allowed, tuple(shared), tuple(streamed), tasks)


def streamed_chunks(store: EmbeddingStore, window: int) -> StreamedChunks:
    """Return the chunks of a store, each read and checked when it is needed."""
    images, patches, dim = store.patches.shape
    rows = store.chunk_rows
    lengths = tuple(min(rows, images - start) for start in range(0, images, rows))
    return StreamedChunks(store.read_chunk, lengths, (patches, dim), window)


def chunks_of(store: EmbeddingStore) -> int:
    """Return how many chunks of patch tokens there are."""
    return -(-store.patches.shape[0] // store.chunk_rows)


def chunk_bytes(store: EmbeddingStore) -> int:
    """Return how many bytes a chunk of patch tokens takes in memory."""
    _, patches, dim = store.patches.shape
    return store.chunk_rows * patches * dim * 2


def _name(store: EmbeddingStore) -> str:
    return f"{store.attributes['dataset']} by {store.attributes['backbone']}"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
