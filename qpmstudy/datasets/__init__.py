"""Datasets: one registry, one function that opens them.

base.py       what a dataset is
regions.py    a part of a picture as an image
pictures.py   any picture file as upright RGB
checks.py     files that are missing, listed twice or broken
cub.py        the folder layout of CUB-200-2011; cub_parts.py, where the parts of its birds are
cars.py       Stanford Cars
aircraft.py   FGVC-Aircraft
folder.py     any folder of class folders
birds/        synthetic birds, generated in the layout of CUB-200-2011

Text and MATLAB files are read by tables.py and matfile.py.
"""

import re
from collections.abc import Callable
from pathlib import Path

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.birds import PRESETS, make_birds
from qpmstudy.datasets.checks import broken_images
from qpmstudy.errors import ConfigError
from qpmstudy.registry import Registry, did_you_mean

DATASETS: Registry[Callable[[str, Path], ImageDataset]] = Registry(
    "dataset",
    {
        "cub2011": "qpmstudy.datasets.cub:open_cub",
        "cub2011-cropped": "qpmstudy.datasets.cub:open_cropped_cub",
        "stanford-cars": "qpmstudy.datasets.cars:open_cars",
        "stanford-cars-cropped": "qpmstudy.datasets.cars:open_cropped_cars",
        "fgvc-aircraft": "qpmstudy.datasets.aircraft:open_aircraft",
        "fgvc-aircraft-cropped": "qpmstudy.datasets.aircraft:open_cropped_aircraft",
        "folder": "qpmstudy.datasets.folder:open_folder",
    }
    | dict.fromkeys(PRESETS, "qpmstudy.datasets.birds.writer:open_birds"),
)

# A folder of one's own is "folder-<any name>": stores and results go by it, so it suits a path.
OWN_FOLDER = re.compile(r"folder-[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def registered(name: str) -> str:
    """Return the name under which the registry knows a dataset: "folder" for "folder-mybirds"."""
    return "folder" if OWN_FOLDER.fullmatch(name) else name


def open_dataset(name: str, root: Path) -> ImageDataset:
    """Return the dataset called `name` that lies in the folder `root`.

    Raises:
        ConfigError: no dataset has this name.
        DataError: the folder is missing, incomplete or holds another dataset.
    """
    check_dataset(name)
    return DATASETS.get(registered(name))(name, root)


def check_dataset(name: str) -> None:
    """Raise unless `name` is a dataset's; none of its files is looked for.

    Raises:
        ConfigError: no dataset has this name.
    """
    if registered(name) in DATASETS.names():
        return
    choices = ", ".join("folder-NAME" if known == "folder" else known for known in DATASETS.names())
    own = OWN_FOLDER.fullmatch(f"folder-{name}")
    raise ConfigError(
        f"Unknown dataset {name!r}: the choices are {choices}."
        + (
            did_you_mean(name, DATASETS.names())
            or f" Images of your own, a folder a class: {own[0] if own else 'folder-photos'}, and "
            "their folder by --data."
        )
    )


def is_synthetic(name: str) -> bool:
    """Return whether `make_birds` can generate the dataset called `name`.

    Raises:
        ConfigError: no dataset has this name.
    """
    check_dataset(name)
    return name in PRESETS


__all__ = [
    "DATASETS",
    "ImageDataset",
    "broken_images",
    "check_dataset",
    "is_synthetic",
    "make_birds",
    "open_dataset",
    "registered",
]
