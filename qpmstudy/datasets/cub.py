"""The folder layout of CUB-200-2011 (Wah et al., 2011), which synthetic birds share.

    classes.txt              <class_id> <class name>
    images.txt               <image_id> <path below images/>
    image_class_labels.txt   <image_id> <class_id>
    train_test_split.txt     <image_id> <1 for train, 0 for test>
    extra_splits.txt         <image_id> <split>; optional, ours: held-out images apart from test
    images/                  the pictures
    segmentations/           object masks as PNG, named like the pictures; optional

In CUB-200-2011, segmentations/ is an archive of its own that is unpacked into the folder.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from qpmstudy.datasets.base import SPLITS, ImageDataset
from qpmstudy.errors import DataError

GET_CUB = (
    "unpack CUB_200_2011.tgz (https://data.caltech.edu/records/65de6-vp158) and name the "
    "folder CUB_200_2011 in it"
)


def open_cub(name: str, root: Path, get: str = GET_CUB) -> ImageDataset:
    """Return the dataset in CUB layout at `root`.

    `get` is what an error tells the user to do about a missing or malformed file.

    Raises:
        DataError: a file is missing or malformed, or two files disagree.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"The dataset {name!r} has no folder {root}: {get}.")
    classes = _read_table(root, "classes.txt", get)
    images = _read_table(root, "images.txt", get)
    labels = _read_table(root, "image_class_labels.txt", get)
    train = _read_table(root, "train_test_split.txt", get)
    for file, table in (("image_class_labels.txt", labels), ("train_test_split.txt", train)):
        _check_same_images(root, file, table, images, get)
    if len(set(images.values())) < len(images):
        twice = next(path for path, count in Counter(images.values()).items() if count > 1)
        raise DataError(f"images.txt in {root} names {twice} more than once: {get}.")
    if not (root / "images").is_dir():
        raise DataError(f"The folder {root} has no images/: {get}.")
    class_index = {class_id: index for index, class_id in enumerate(classes)}
    for image_id, class_id in labels.items():
        if class_id not in class_index:
            raise _malformed(
                root, "image_class_labels.txt", f"{image_id} {class_id}", "not in classes.txt", get
            )
    splits = _splits(root, images, train, get)
    return ImageDataset(
        name=name,
        root=root,
        class_names=tuple(classes.values()),
        ids=tuple(images.values()),
        labels=np.array([class_index[labels[image_id]] for image_id in images], dtype=np.int64),
        splits=np.array(splits, dtype=np.str_),
    )


def _splits(root: Path, images: dict[str, str], train: dict[str, str], get: str) -> list[str]:
    """Return the split of every image, in the order of images.txt."""
    named = {"1": "train", "0": "test"}
    for image_id, flag in train.items():
        if flag not in named:
            raise _malformed(
                root, "train_test_split.txt", f"{image_id} {flag}", "neither 0 nor 1", get
            )
    extra: dict[str, str] = {}
    if (root / "extra_splits.txt").is_file():
        extra = _read_table(root, "extra_splits.txt", get)
    for image_id, split in extra.items():
        line, allowed = f"{image_id} {split}", SPLITS[2:]
        if split not in allowed:
            rule = f"a split that is not one of {', '.join(allowed)}"
        elif image_id not in images:
            rule = "an image that is not in images.txt"
        elif train[image_id] == "1":
            rule = "an image that train_test_split.txt trains on"
        else:
            continue
        raise _malformed(root, "extra_splits.txt", line, rule, get)
    return [extra.get(image_id, named[train[image_id]]) for image_id in images]


def _read_table(root: Path, file: str, get: str) -> dict[str, str]:
    """Return {first word: rest of the line} of a file with one record a line."""
    path = root / file
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"The folder {root} has no {file}: {get}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} in {root} is not a text file ({error}): {get}.") from error
    table: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, _, value = line.strip().partition(" ")
        if not key.isdigit() or not value.strip():
            raise _malformed(root, file, line, "not '<number> <value>'", get, number)
        if key in table:
            raise _malformed(root, file, line, f"the second line for {key}", get, number)
        table[key] = value.strip()
    if not table and file != "extra_splits.txt":
        raise DataError(f"{file} in {root} is empty: {get}.")
    return table


def _check_same_images(
    root: Path, file: str, table: dict[str, str], images: dict[str, str], get: str
) -> None:
    """Raise if `file` does not speak of exactly the images of images.txt."""
    different = sorted(table.keys() ^ images.keys(), key=int)
    if different:
        raise DataError(
            f"{file} in {root} has {len(table)} images and images.txt {len(images)}; "
            f"{len(different)} are in only one of them, the first is image {different[0]}: {get}."
        )


def _malformed(
    root: Path, file: str, line: str, rule: str, get: str, number: int | None = None
) -> DataError:
    """Return the error for a line of `file` that breaks `rule`."""
    where = "" if number is None else f" {number}"
    return DataError(f"Line{where} {line!r} of {file} in {root} is wrong ({rule}): {get}.")
