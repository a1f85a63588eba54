"""Making sure that the embeddings a study needs are there."""

import shutil
from collections.abc import Callable
from pathlib import Path

from qpmstudy.backbones import open_backbone
from qpmstudy.datasets import is_synthetic, make_birds, open_dataset
from qpmstudy.errors import DataError
from storage.embeddings import EmbeddingStore, is_complete, open_store
from storage.extraction import extract
from storage.layout import StorageRoot

PhaseProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""


def embed(
    root: StorageRoot,
    dataset: str,
    backbone: str,
    progress: PhaseProgress,
    data: Path | None = None,
    force: bool = False,
) -> EmbeddingStore:
    """Return the complete store of a dataset and backbone, after making what is missing.

    Args:
        root: where stores and generated datasets are kept.
        dataset: its registered name; synthetic ones are generated on first use.
        backbone: its registered name.
        progress: told about generation and extraction.
        data: folder of the images of a dataset that is not synthetic.
        force: replace a store that is there.

    Raises:
        ConfigError: dataset or backbone is unknown.
        DataError: images are missing or damaged, or the store there has other content.
    """
    frozen = open_backbone(backbone)
    folder = data or root.dataset(dataset)
    if not is_synthetic(dataset) and data is None:
        raise DataError(
            f"The images of {dataset!r} cannot be made here; say where they are: "
            f"python cli.py embed --dataset {dataset} --data FOLDER"
        )
    if is_synthetic(dataset) and not folder.exists():
        make_birds(dataset, folder, progress=lambda done, of: progress("drawing birds", done, of))
    images = open_dataset(dataset, folder)
    path = root.embeddings(dataset, backbone)
    if force:
        shutil.rmtree(path, ignore_errors=True)
    return extract(
        images,
        frozen,
        path,
        progress=lambda done, of: progress(f"embedding {dataset}", done, of),
    )


def ensure_store(
    root: StorageRoot, dataset: str, backbone: str, progress: PhaseProgress
) -> EmbeddingStore:
    """Return a store that is there, or make the one of a synthetic dataset.

    Raises:
        ConfigError: dataset or backbone is unknown.
        DataError: the store is missing and cannot be made here, damaged, or another's.
    """
    path = root.embeddings(dataset, backbone)
    if is_synthetic(dataset) and not is_complete(path):
        return embed(root, dataset, backbone, progress)
    return open_store(path, dataset, backbone)
