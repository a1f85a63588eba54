"""A dataset of labelled images in a folder: what every dataset looks like to the rest."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from PIL import Image

from qpmstudy.datasets.pictures import QUARTER, opened, orientation, read_rgb, turned
from qpmstudy.datasets.regions import Region, cut, split_region
from qpmstudy.errors import DataError
from qpmstudy.files import sha256

SPLITS = ("train", "test", "shift")


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """N labelled images below one folder, with object masks where there are any.

    Attributes:
        name: what the registry calls it.
        root: the dataset's folder.
        class_names: name of every class, in the order of the labels.
        ids: path of every image relative to `image_root`, with forward slashes; where the image
            is a part of that file, "#xywh=..." behind it says which (see regions.py).
        labels: class of every image, 0-based.
        splits: "train", "test" or "shift" for every image.
        image_folder: where the images lie in `root`.
        boxes: x, y, width, height of the object's bounding box in pixels of the stored picture;
            None where the dataset has none.
        ignored: how many files below `root` were left out as hidden or no pictures.
    """

    name: str
    root: Path
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " N"]
    splits: Shaped[np.ndarray, " N"]
    image_folder: str = "images"
    boxes: Float64[np.ndarray, "N 4"] | None = None
    ignored: int = 0

    def __len__(self) -> int:
        """Return the number of images N."""
        return len(self.ids)

    @property
    def image_root(self) -> Path:
        """Return the folder that ids are relative to."""
        return self.root / self.image_folder

    def image_path(self, index: int) -> Path:
        """Return the file of image `index`."""
        return self.image_root / split_region(self.ids[index])[0]

    def mask_path(self, index: int) -> Path:
        """Return where the segmentation of image `index` lies, if the dataset has any.

        segmentations/ mirrors the folder of images; masks are PNG.
        """
        path = PurePosixPath(split_region(self.ids[index])[0])
        return self.root / "segmentations" / path.with_suffix(".png")

    @property
    def has_masks(self) -> bool:
        """Whether the dataset comes with segmentations."""
        return (self.root / "segmentations").is_dir()

    def image(self, index: int) -> Image.Image:
        """Return image `index` as upright 8-bit RGB.

        Raises:
            DataError: the file is missing or cannot be decoded.
        """
        return read_rgb(self.image_root / self.ids[index])

    def mask(self, index: int) -> Bool[np.ndarray, "H W"] | None:
        """Return where the object is in image `index`; None for a dataset without masks.

        A pixel above 0 belongs to the object. CUB's grey levels count the annotators who
        marked a pixel, so this is what any of them marked, as in the paper's evaluation.

        Raises:
            DataError: the file is missing, damaged or not of the image's size.
        """
        if not self.has_masks:
            return None
        with opened(self.image_path(index), "image") as image:
            size, stored_as = image.size, orientation(image)
        path = self.mask_path(index)
        with opened(path, "segmentation") as stored:
            region = split_region(self.ids[index])[1]
            # Those drawn on the stored pixels turn with the image. Others are drawn on the picture
            # as programs show it: of a quarter turn the size tells.
            as_shown = stored_as >= QUARTER and region is None and stored.size == size[::-1]
            if stored.size != size and not as_shown:
                raise DataError(
                    f"The segmentation {path} has {stored.width} x {stored.height} pixels and its "
                    f"image {size[0]} x {size[1]}: they must be equal; store it again in the "
                    "image's size, or restore both files."
                )
            upright = turned(cut(stored, region), 1 if stored.size != size else stored_as)
            levels = np.asarray(upright if upright.mode.startswith("I") else upright.convert("L"))
        return levels > 0

    def without(self, indices: Collection[int]) -> "ImageDataset":
        """Return the dataset without some of its images, the others in the same order.

        Raises:
            DataError: a class would be left without a training image.
        """
        rest = self.only(np.setdiff1d(np.arange(len(self)), list(indices)))
        if untrained := rest.untrained():
            raise DataError(
                f"The dataset {self.name!r} would have no training image left of "
                f"{len(untrained)} of {len(self.class_names)} classes, the first is "
                f"{untrained[0]!r}: restore its images, or leave the class out."
            )
        return rest

    def part(self, start: int, stop: int) -> "ImageDataset":
        """Return the images from `start` up to `stop` alone: little to send to a process."""
        return self.only(np.arange(start, stop))

    def only(self, keep: Int64[np.ndarray, " n"]) -> "ImageDataset":
        """Return the images at the positions `keep` alone, in that order."""
        return replace(
            self,
            ids=tuple(self.ids[index] for index in keep),
            labels=self.labels[keep],
            splits=self.splits[keep],
            boxes=None if self.boxes is None else self.boxes[keep],
        )

    def untrained(self) -> list[str]:
        """Return the names of the classes that have no training image."""
        trained = set(self.labels[self.splits == "train"].tolist())
        return [name for label, name in enumerate(self.class_names) if label not in trained]

    def cropped(self) -> "ImageDataset":
        """Return the dataset with every image, and its mask, cut to the bounding box.

        Boxes are widened to whole pixels. They speak of the files, so the result has none.

        Raises:
            DataError: there are no boxes.
        """
        if self.boxes is None:
            raise DataError(
                f"The dataset {self.name!r} in {self.root} has no bounding boxes to cut its images "
                "to: restore the file that lists them, or take the dataset without '-cropped'."
            )
        corner = np.floor(self.boxes[:, :2].clip(0)).astype(int)
        extent = np.ceil(self.boxes[:, :2] + self.boxes[:, 2:]).astype(int) - corner
        regions = map(Region._make, np.concatenate([corner, extent], axis=1).tolist())
        paths = (split_region(image_id)[0] for image_id in self.ids)
        ids = tuple(region.of(path) for path, region in zip(paths, regions, strict=True))
        return replace(self, ids=ids, boxes=None)

    def fingerprint(self) -> str:
        """Return a sha256 over ids, labels, splits, class names and every file's content.

        Raises:
            DataError: an image or segmentation is missing.
        """
        digest = hashlib.sha256()
        digest.update(repr(self.class_names).encode())
        for index, (name, label, split) in enumerate(
            zip(self.ids, self.labels.tolist(), self.splits.tolist(), strict=True)
        ):
            paths = [self.image_path(index)]
            if self.has_masks:
                paths.append(self.mask_path(index))
            for path in paths:
                if not path.is_file():
                    raise DataError(
                        f"{path} is missing: restore it from the dataset's archive, or make "
                        "the dataset again."
                    )
            digest.update(repr((name, label, split, *map(sha256, paths))).encode())
        return digest.hexdigest()
