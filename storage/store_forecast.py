"""What a plan says of the embeddings that a study reads: their size, or how to make them."""

from collections.abc import Sequence
from dataclasses import dataclass

from qpmstudy.errors import DataError
from storage.embeddings import EmbeddingStore
from storage.ensure import made_here, open_named
from storage.groups import command
from storage.layout import StorageRoot
from storage.memory import RESERVE, allowed_memory, available_memory, needed
from storage.reading import plan_reading


@dataclass(frozen=True)
class StoreForecast:
    """The embeddings that a study reads: bytes in memory, or why they cannot be read.

    `command` makes them; `made_by_launch` says whether a launch does, too.
    """

    dataset: str
    backbone: str
    command: str
    bytes: int | None = None
    problem: str | None = None
    made_by_launch: bool = False

    @property
    def ends_launch(self) -> bool:
        """Return whether a launch ends at once for want of them."""
        return self.problem is not None and not self.made_by_launch


def opened(root: StorageRoot, dataset: str, backbone: str) -> EmbeddingStore | DataError:
    """Return the embeddings of a dataset, or why they cannot be read."""
    try:
        return open_named(root, dataset, backbone)
    except DataError as error:
        return error


def store_forecast(
    root: StorageRoot, dataset: str, backbone: str, store: EmbeddingStore | DataError
) -> StoreForecast:
    """Return what is to be said of embeddings that were opened, or of why they were not."""
    makes = command(dataset, backbone, root.embeddings(dataset, backbone))
    if isinstance(store, EmbeddingStore):
        return StoreForecast(dataset, backbone, makes, bytes=needed(store))
    try:
        made = made_here(root, dataset, backbone)
    except DataError:  # of which the problem tells
        made = False
    return StoreForecast(dataset, backbone, makes, problem=str(store), made_by_launch=made)


def memory_words(stores: Sequence[EmbeddingStore]) -> tuple[str, ...]:
    """Return how stores would be read on this machine by one task at a time."""
    there = available_memory()
    room = None if there is None else max(0, there - RESERVE)
    try:
        return tuple(plan_reading(stores, allowed_memory(room)).lines()) if stores else ()
    except DataError as error:
        return (str(error),)
