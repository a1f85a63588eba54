"""Any folder of pictures with a folder for each class.

    <class>/<picture>                                 or, with a split of its own,
    train/<class>/<picture>, test/<class>/<picture>   and perhaps val/ and shift/ likewise
    segmentations/                                    optional: object masks as PNG, in folders
                                                      and under names like those of the pictures

Classes are in natural order (x2 before x10). val/ is trained on like train/: studies hold out a
validation split of their own. Without test/, the SHA-256 of class and file name decides which
fifth of the pictures tests, so that later files move no earlier one; only, a class of two pictures
or more keeps at least one of each kind.

Hidden files, files that are no pictures by their suffix, and pictures outside of the class folders
are left out and counted. What has a picture's name and is no file is a broken picture.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.checks import check_folder, checked
from qpmstudy.datasets.pictures import SUFFIXES
from qpmstudy.errors import DataError
from qpmstudy.files import sha256

TEST_SHARE = 0.2
SPLIT_OF = {"train": "train", "val": "train", "test": "test", "shift": "shift"}
GET_FOLDER = (
    "make one folder for each class with its pictures in it, either directly in the dataset's "
    "folder or in train/ and test/ in it"
)


def open_folder(name: str, root: Path) -> ImageDataset:
    """Return the dataset in the class folders below `root`.

    Raises:
        DataError: there are no class folders, folders of both layouts, folders in class folders,
            a class without pictures to train on, two pictures that share a mask, or the same
            picture in two classes or two splits.
    """
    check_folder(name, root, GET_FOLDER)
    ids, ignored = _pictures(root)
    classes = [PurePosixPath(image_id).parent.name for image_id in ids]
    class_names = sorted(set(classes), key=natural)
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    dataset = ImageDataset(
        name=name,
        root=root,
        class_names=tuple(class_names),
        ids=tuple(ids),
        labels=np.array([label_of[class_name] for class_name in classes], dtype=np.int64),
        splits=np.array(_splits(ids), dtype=np.str_),
        image_folder=".",
        ignored=ignored,
    )
    _check_copies(checked(dataset, GET_FOLDER, listed=False))
    return dataset


def natural(text: str) -> tuple[list[str | int], str]:
    """Return the key by which numbers in names sort by value; equal keys mean equal names."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], text


def _pictures(root: Path) -> tuple[list[str], int]:
    """Return the pictures in class folders, relative to `root`, and how many files are left out."""
    folders, stray, ignored = _entries(root)
    named = {folder.name: folder for folder in folders if folder.name != "segmentations"}
    if "masks" in named:
        raise DataError(
            f"{root} has a folder masks/: name it segmentations/ if it holds object masks, or "
            "differently if it is a class."
        )
    ignored += len(stray)
    if named.keys() & SPLIT_OF:
        _check_split_folders(root, named)
        class_folders = []
        for split in sorted(named, key=list(SPLIT_OF).index):
            inside, stray, left_out = _entries(named[split])
            class_folders += inside
            ignored += len(stray) + left_out
    else:
        class_folders = list(named.values())
    pictures: list[Path] = []
    for folder in class_folders:
        inside, found, left_out = _entries(folder)
        # One with a picture's name is no class: it is a picture that cannot be decoded.
        found += [path for path in inside if path.suffix.lower() in SUFFIXES]
        inside = [path for path in inside if path not in found]
        if inside or not found:
            what = f"the folder {inside[0].name}/" if inside else "no pictures"
            raise DataError(f"The class folder {folder} has {what} in it: {GET_FOLDER}.")
        pictures += found
        ignored += left_out
    if not pictures:
        raise DataError(f"The folder {root} has no class folders: {GET_FOLDER}.")
    return [picture.relative_to(root).as_posix() for picture in pictures], ignored


def _check_split_folders(root: Path, named: Collection[str]) -> None:
    """Raise unless the folders of `root` are train/ and others of `SPLIT_OF`, no classes."""
    classes = [name for name in named if name not in SPLIT_OF]
    if classes or "train" not in named:
        splits = ", ".join(f"{name}/" for name in named if name in SPLIT_OF)
        other = f"beside {classes[0]}/" if classes else "but no train/"
        raise DataError(
            f"The folder {root} has {splits} {other}, so that it is unclear which folders are "
            f"classes: {GET_FOLDER}."
        )


def _entries(folder: Path) -> tuple[list[Path], list[Path], int]:
    """Return the folders and pictures in `folder`, in natural order, and the number of others."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: natural(path.name))
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read ({error}): {GET_FOLDER}.") from error
    shown = [path for path in entries if not path.name.startswith((".", "__MACOSX"))]
    folders = [path for path in shown if path.is_dir()]
    pictures = [path for path in shown if path.suffix.lower() in SUFFIXES and path not in folders]
    return folders, pictures, len(entries) - len(folders) - len(pictures)


def _splits(ids: list[str]) -> list[str]:
    """Return the split of every picture: its folder's, or one drawn where there is no test/."""
    parts = [PurePosixPath(image_id).parts for image_id in ids]
    splits = [SPLIT_OF[path[0]] if len(path) == 3 else "train" for path in parts]
    if "test" in splits:
        return splits
    members: dict[str, list[int]] = defaultdict(list)
    for index, split in enumerate(splits):
        if split == "train":
            members[parts[index][-2]].append(index)
    for indices in members.values():
        draw = {index: _draw("/".join(parts[index][-2:])) for index in indices}
        below = sum(value < TEST_SHARE for value in draw.values())
        tested = min(max(below, 1), len(indices) - 1)
        for index in sorted(indices, key=draw.__getitem__)[:tested]:
            splits[index] = "test"
    return splits


def _draw(text: str) -> float:
    """Return a number from 0 to 1 that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _check_copies(dataset: ImageDataset) -> None:
    """Raise if a file is in two classes or two splits, byte for byte."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for index in range(len(dataset)):
        if not dataset.image_path(index).is_file():  # a broken one: a folder, pipe or dead link
            continue
        by_size[dataset.image_path(index).stat().st_size].append(index)
    by_content: dict[str, list[int]] = defaultdict(list)
    for indices in by_size.values():
        if len(indices) > 1:
            for index in indices:
                by_content[sha256(dataset.image_path(index))].append(index)
    for what, value in (("classes", dataset.labels), ("splits", dataset.splits)):
        pairs = [
            (one, other)
            for copies in by_content.values()
            for one, other in pairwise(copies)
            if value[one] != value[other]
        ]
        if pairs:
            one, other = (dataset.ids[index] for index in pairs[0])
            raise DataError(
                f"{one} and {other} in {dataset.root} are the same picture in two {what}, and "
                f"there are {len(pairs) - 1} more such pairs: keep one of each."
            )
