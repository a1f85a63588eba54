"""Making sure that the embeddings a study needs are there."""

from qpmstudy.datasets import is_synthetic
from storage.embeddings import EmbeddingStore, is_complete, open_store
from storage.layout import StorageRoot
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
    path = root.embeddings(dataset, backbone)
    if is_synthetic(dataset) and not is_complete(path):
        from storage.prepare import embed

        return embed(root, dataset, backbone, progress)
    return open_store(path, dataset, backbone)
