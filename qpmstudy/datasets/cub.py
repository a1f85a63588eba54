"""The folder layout of CUB-200-2011 (Wah et al., 2011), which synthetic birds share.

    classes.txt              <class_id> <class name>
    images.txt               <image_id> <path below images/>
    image_class_labels.txt   <image_id> <class_id>
    train_test_split.txt     <image_id> <1 for train, 0 for test>
    bounding_boxes.txt       <image_id> <x> <y> <width> <height>; optional
    extra_splits.txt         <image_id> <split>; optional, ours: held-out images apart from test
    images/                  the pictures
    segmentations/           object masks as PNG, named like the pictures; optional
    parts/                   see cub_parts.py; optional

In CUB-200-2011, segmentations/ is an archive of its own that is unpacked into the folder.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from qpmstudy.datasets.base import SPLITS, ImageDataset
from qpmstudy.datasets.checks import check_folder, checked
from qpmstudy.datasets.tables import check_same_images, filled, malformed, numbers, read_table
from qpmstudy.errors import DataError

GET_CUB = (
    "unpack CUB_200_2011.tgz (https://data.caltech.edu/records/65de6-vp158) and name the "
    "folder CUB_200_2011 in it"
)


def open_cub(name: str, root: Path, get: str = GET_CUB) -> ImageDataset:
    """Return the dataset in CUB layout at `root`.

    `get` is what an error tells the user to do about a missing or malformed file.

    Raises:
        DataError: a file is missing or malformed, two files disagree, or a class has no images
            to train on.
    """
    check_folder(name, root, get)
    classes, images, labels, train = (
        filled(read_table(root, file, get), root, file, get)
        for file in (
            "classes.txt",
            "images.txt",
            "image_class_labels.txt",
            "train_test_split.txt",
        )
    )
    for file, table in (("image_class_labels.txt", labels), ("train_test_split.txt", train)):
        check_same_images(root, file, table, images, get)
    if not (root / "images").is_dir():
        raise DataError(f"The folder {root} has no images/: {get}.")
    class_index = {class_id: index for index, class_id in enumerate(classes)}
    for image_id, class_id in labels.items():
        if class_id not in class_index:
            raise malformed(
                root, "image_class_labels.txt", f"{image_id} {class_id}", "not in classes.txt", get
            )
    dataset = ImageDataset(
        name=name,
        root=root,
        class_names=tuple(classes.values()),
        ids=tuple(images.values()),
        labels=np.array([class_index[labels[image_id]] for image_id in images], dtype=np.int64),
        splits=np.array(_splits(root, images, train, get), dtype=np.str_),
        boxes=_boxes(root, images, get),
    )
    return checked(dataset, get)


def open_cropped_cub(name: str, root: Path) -> ImageDataset:
    """Return the dataset in CUB layout at `root`, its images cut to their bounding boxes.

    Raises:
        DataError: as `open_cub`, or there is no bounding_boxes.txt.
    """
    return open_cub(name, root).cropped()


def _splits(root: Path, images: dict[str, str], train: dict[str, str], get: str) -> list[str]:
    """Return the split of every image, in the order of images.txt."""
    named = {"1": "train", "0": "test"}
    for image_id, flag in train.items():
        if flag not in named:
            raise malformed(
                root, "train_test_split.txt", f"{image_id} {flag}", "neither 0 nor 1", get
            )
    extra: dict[str, str] = {}
    if (root / "extra_splits.txt").is_file():
        extra = read_table(root, "extra_splits.txt", get)
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
        raise malformed(root, "extra_splits.txt", line, rule, get)
    return [extra.get(image_id, named[train[image_id]]) for image_id in images]


def _boxes(root: Path, images: dict[str, str], get: str) -> Float64[np.ndarray, "N 4"] | None:
    """Return the boxes of bounding_boxes.txt, in the order of images.txt, if it is there."""
    file = "bounding_boxes.txt"
    if not (root / file).is_file():
        return None
    table = read_table(root, file, get)
    check_same_images(root, file, table, images, get)
    boxes = []
    for image_id in images:
        line = f"{image_id} {table[image_id]}"
        box = numbers(root, file, line, table[image_id], 4, get)
        if min(box[2:]) <= 0:
            raise malformed(root, file, line, "a box without extent", get)
        boxes.append(box)
    return np.array(boxes)
