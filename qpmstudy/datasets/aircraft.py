"""FGVC-Aircraft (Maji et al., 2013): 100 variants, from fgvc-aircraft-2013b.tar.gz.

    data/variants.txt                one class name a line
    data/images_variant_train.txt    <image> <variant>; also ..._val.txt, trained on like it, and
    data/images_variant_test.txt     ..._test.txt
    data/images_box.txt              <image> <xmin> <ymin> <xmax> <ymax>, counted from 1; optional
    data/images/<image>.jpg

The lowest 20 rows of every picture are a banner with its photographer's copyright. They are cut
away, always, as the README of the archive asks of everyone who trains or evaluates on it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.checks import check_folder, checked
from qpmstudy.datasets.pictures import opened
from qpmstudy.datasets.regions import Region
from qpmstudy.datasets.tables import filled, malformed, numbers, read_lines, read_table
from qpmstudy.errors import DataError

BANNER = 20
PLACES = ("data", ".", "fgvc-aircraft-2013b/data")
LISTS = {
    "images_variant_train.txt": "train",
    "images_variant_val.txt": "train",
    "images_variant_test.txt": "test",
}
GET_AIRCRAFT = (
    "unpack fgvc-aircraft-2013b.tar.gz (https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/) and "
    "name the folder fgvc-aircraft-2013b in it"
)


def open_aircraft(name: str, root: Path) -> ImageDataset:
    """Return FGVC-Aircraft in the folder `root`, its pictures without their banners.

    Every picture's size is read.

    Raises:
        DataError: a file is missing or malformed, two files disagree, or a variant has no images
            to train on.
    """
    check_folder(name, root, GET_AIRCRAFT)
    places = (place for place in PLACES if (root / place / "variants.txt").is_file())
    data = root / next(places, PLACES[0])
    variants = [line for _, line in read_lines(data, "variants.txt", GET_AIRCRAFT)]
    label_of = {variant: label for label, variant in enumerate(variants)}
    if len(label_of) < len(variants):
        raise DataError(f"variants.txt in {data} names a variant twice: {GET_AIRCRAFT}.")
    images: list[str] = []
    labels: list[int] = []
    splits: list[str] = []
    for file, split in LISTS.items():
        table = filled(read_table(data, file, GET_AIRCRAFT), data, file, GET_AIRCRAFT)
        for image, variant in table.items():
            if variant not in label_of:
                line = f"{image} {variant}"
                raise malformed(data, file, line, "not in variants.txt", GET_AIRCRAFT)
            images.append(image)
            labels.append(label_of[variant])
            splits.append(split)
    if not (data / "images").is_dir():
        raise DataError(f"The folder {data} has no images/: {GET_AIRCRAFT}.")
    dataset = ImageDataset(
        name=name,
        root=data,
        class_names=tuple(variants),
        ids=tuple(f"{image}.jpg" for image in images),
        labels=np.array(labels, dtype=np.int64),
        splits=np.array(splits, dtype=np.str_),
        boxes=_boxes(data, images),
    )
    return _without_banners(checked(dataset, GET_AIRCRAFT))


def open_cropped_aircraft(name: str, root: Path) -> ImageDataset:
    """Return FGVC-Aircraft in the folder `root`, its images cut to their bounding boxes.

    Raises:
        DataError: as `open_aircraft`, or there is no images_box.txt.
    """
    return open_aircraft(name, root).cropped()


def _boxes(data: Path, images: list[str]) -> Float64[np.ndarray, "N 4"] | None:
    """Return the boxes of images_box.txt, in the order of `images`, if it is there."""
    file = "images_box.txt"
    if not (data / file).is_file():
        return None
    table = read_table(data, file, GET_AIRCRAFT)
    boxes = []
    for image in images:
        line = f"{image} {table.get(image, '')}".strip()
        left, top, right, bottom = numbers(
            data, file, line, table.get(image, ""), 4, GET_AIRCRAFT
        ).tolist()
        if right < left or bottom < top:
            raise malformed(data, file, line, "a box without extent", GET_AIRCRAFT)
        boxes.append([left - 1, top - 1, right - left + 1, bottom - top + 1])
    return np.array(boxes)


def _without_banners(dataset: ImageDataset) -> ImageDataset:
    """Return the dataset with all but the lowest rows of every picture, and boxes above them."""
    ids = list(dataset.ids)
    boxes = None if dataset.boxes is None else dataset.boxes.copy()
    for index, image_id in enumerate(dataset.ids):
        try:
            with opened(dataset.image_path(index), "image") as image:
                width, height = image.width, max(image.height - BANNER, 0)
        except DataError:
            continue  # it has no size to speak of; reading it, or `broken_images`, says why
        ids[index] = Region(0, 0, width, height).of(image_id)
        if boxes is not None:
            boxes[index, 3] = min(boxes[index, 3], max(height - boxes[index, 1], 0))
    return replace(dataset, ids=tuple(ids), boxes=boxes)
