"""Making sure that the embeddings a study needs are there."""

import difflib

from qpmstudy.datasets import is_synthetic
from qpmstudy.errors import DataError
from storage.embeddings import EmbeddingStore, is_complete, open_store
from storage.layout import StorageRoot
from storage.places import stores_below
from storage.progress import PhaseProgress


def ensure_store(
    root: StorageRoot, dataset: str, backbone: str, progress: PhaseProgress
) -> EmbeddingStore:
    """Return a store that is there, or make the one of a synthetic dataset.

    Raises:
        ConfigError: dataset or backbone is unknown.
        DataError: the store is missing and cannot be made here, damaged, or another's.
        StoreError: another process writes the store, or its URL cannot be reached.
        WorkerError: a process that decodes images died.
    """
    if made_here(root, dataset, backbone):
        from storage.prepare import embed

        return embed(root, dataset, backbone, progress)
    return open_named(root, dataset, backbone)


def made_here(root: StorageRoot, dataset: str, backbone: str) -> bool:
    """Return whether a launch makes these embeddings: of images that are drawn, not whole yet.

    Raises:
        ConfigError: dataset or backbone is unknown.
        DataError: what is there cannot be read.
        StoreError: the URL cannot be reached.
    """
    return is_synthetic(dataset) and not is_complete(root.embeddings(dataset, backbone))


def open_named(root: StorageRoot, dataset: str, backbone: str) -> EmbeddingStore:
    """Open the embeddings of a dataset by a backbone; where there are none, name a near dataset.

    Raises:
        DataError: the store is missing, incomplete, damaged, or another's.
        StoreError: its URL cannot be reached.
    """
    try:
        return open_store(root.embeddings(dataset, backbone), dataset, backbone)
    except DataError as error:
        there = {name.removeprefix("folder-"): name for name, _ in stores_below(root.below)}
        near = difflib.get_close_matches(dataset.removeprefix("folder-"), there, n=1)
        if dataset in there.values() or not near:
            raise
        raise DataError(f"{error}. Did you mean {there[near[0]]!r}?") from error
