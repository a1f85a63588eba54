"""Stanford Cars (Krause et al., 2013), as its archives unpack and as copies of them lie about.

    devkit/cars_meta.mat              names of the 196 classes
    devkit/cars_train_annos.mat       picture, class (from 1) and bounding box
    cars_test_annos_withlabels.mat    the same of the test pictures; published apart
    cars_train/, cars_test/           the pictures

The .mat files may also lie in car_devkit/devkit/, car_devkit/ or the folder itself, and the
pictures one folder deeper (cars_train/cars_train/), as in copies on Kaggle.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.checks import check_folder, checked
from qpmstudy.datasets.matfile import read_records, read_variable
from qpmstudy.errors import DataError

PLACES = ("devkit", "car_devkit/devkit", "car_devkit", ".")
TEST_LABELS = "cars_test_annos_withlabels.mat"
FIELDS = ("fname", "class", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
GET_CARS = (
    "unpack cars_train.tgz, cars_test.tgz and car_devkit.tgz of Stanford Cars into one folder, put "
    f"{TEST_LABELS} (cars_test_annos.mat has no labels) beside them, and name that folder; "
    "https://github.com/pytorch/vision/issues/7545 says where copies are"
)


def open_cars(name: str, root: Path) -> ImageDataset:
    """Return Stanford Cars in the folder `root`, with bounding boxes.

    Raises:
        DataError: a file is missing, damaged or of another kind, labels are not those of
            cars_meta.mat, or a class has no images to train on.
    """
    check_folder(name, root, GET_CARS)
    names = read_variable(_find(root, "cars_meta.mat"), "class_names", GET_CARS)
    class_names = tuple(str(class_name) for class_name in names.tolist())
    ids: list[str] = []
    labels: list[int] = []
    boxes: list[tuple[float, ...]] = []
    splits: list[str] = []
    for split, annotations in (("train", "cars_train_annos.mat"), ("test", TEST_LABELS)):
        path = _find(root, annotations)
        folder = _pictures(root, f"cars_{split}")
        for record in read_records(path, "annotations", FIELDS, GET_CARS):
            picture, label, box = _parsed(record, len(class_names), path)
            ids.append(f"{folder}/{picture}")
            labels.append(label)
            boxes.append(box)
            splits.append(split)
    dataset = ImageDataset(
        name=name,
        root=root,
        class_names=class_names,
        ids=tuple(ids),
        labels=np.array(labels, dtype=np.int64),
        splits=np.array(splits, dtype=np.str_),
        image_folder=".",
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
    )
    return checked(dataset, GET_CARS)


def open_cropped_cars(name: str, root: Path) -> ImageDataset:
    """Return Stanford Cars in the folder `root`, its images cut to their bounding boxes.

    Raises:
        DataError: as `open_cars`.
    """
    return open_cars(name, root).cropped()


def _find(root: Path, file: str) -> Path:
    """Return where `file` lies below `root`."""
    for place in PLACES:
        if (root / place / file).is_file():
            return root / place / file
    raise DataError(
        f"The folder {root} has no {file} (nor have {', '.join(PLACES[:-1])} in it): {GET_CARS}."
    )


def _pictures(root: Path, folder: str) -> str:
    """Return the folder of pictures, relative to `root`."""
    for place in (f"{folder}/{folder}", folder):
        if (root / place).is_dir():
            return place
    raise DataError(f"The folder {root} has no {folder}/: {GET_CARS}.")


def _parsed(
    record: tuple[Any, ...], classes: int, path: Path
) -> tuple[str, int, tuple[float, ...]]:
    """Return file name, label from 0 and box (x, y, width, height) of one annotation.

    MATLAB counts classes and pixels from 1, and the last row and column are in the box.
    """
    picture, *numbers = record
    try:
        label, left, top, right, bottom = map(int, numbers)
    except (TypeError, ValueError, OverflowError):
        label = 0
    if not (isinstance(picture, str) and PurePosixPath(picture).name == picture):
        rule = "the file is no name"
    elif not 1 <= label <= classes or label != numbers[0]:
        rule = f"the class is none of the {classes} in cars_meta.mat"
    elif right < left or bottom < top:
        rule = "the box has no extent"
    else:
        box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
        return picture, label - 1, tuple(map(float, box))
    raise DataError(f"The annotation {record!r} in {path} is wrong ({rule}): {GET_CARS}.")
