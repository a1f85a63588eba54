"""Datasets: one registry, one function that opens them.

base.py       what a dataset is
pictures.py   any picture file as upright RGB
cub.py        the folder layout of CUB-200-2011
birds/        synthetic birds, generated in that layout
"""

from collections.abc import Callable
from pathlib import Path

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.birds import PRESETS, make_birds
from qpmstudy.registry import Registry

DATASETS: Registry[Callable[[str, Path], ImageDataset]] = Registry(
    "dataset",
    {"cub2011": "qpmstudy.datasets.cub:open_cub"}
    | dict.fromkeys(PRESETS, "qpmstudy.datasets.birds.writer:open_birds"),
)


def open_dataset(name: str, root: Path) -> ImageDataset:
    """Return the dataset called `name` that lies in the folder `root`.

    Raises:
        ConfigError: no dataset has this name.
        DataError: the folder is missing, incomplete or holds another dataset.
    """
    return DATASETS.get(name)(name, root)


def is_synthetic(name: str) -> bool:
    """Return whether `make_birds` can generate the dataset called `name`.

    Raises:
        ConfigError: no dataset has this name.
    """
    DATASETS.get(name)
    return name in PRESETS


__all__ = ["DATASETS", "ImageDataset", "is_synthetic", "make_birds", "open_dataset"]
