"""A dataset of labelled images in a folder: what every dataset looks like to the rest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Int64, Shaped
from PIL import ExifTags, Image, ImageOps

from qpmstudy.datasets.pictures import opened, upright_rgb
from qpmstudy.errors import DataError
from qpmstudy.files import sha256

SPLITS = ("train", "test", "shift")


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """N labelled images below `root`/images, with object masks where there are any.

    Attributes:
        name: what the registry calls it.
        root: the dataset's folder.
        class_names: name of every class, in the order of the labels.
        ids: path of every image relative to `root`/images, with forward slashes.
        labels: class of every image, 0-based.
        splits: "train", "test" or "shift" for every image.
    """

    name: str
    root: Path
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " N"]
    splits: Shaped[np.ndarray, " N"]

    def __len__(self) -> int:
        """Return the number of images N."""
        return len(self.ids)

    def image_path(self, index: int) -> Path:
        """Return where image `index` lies."""
        return self.root / "images" / self.ids[index]

    def mask_path(self, index: int) -> Path:
        """Return where the segmentation of image `index` lies, if the dataset has any."""
        return self.root / "segmentations" / PurePosixPath(self.ids[index]).with_suffix(".png")

    @property
    def has_masks(self) -> bool:
        """Whether the dataset comes with segmentations."""
        return (self.root / "segmentations").is_dir()

    def image(self, index: int) -> Image.Image:
        """Return image `index` as upright 8-bit RGB.

        Raises:
            DataError: the file is missing or cannot be decoded.
        """
        with opened(self.image_path(index), "image") as stored:
            return upright_rgb(stored)

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
            size, turn = image.size, image.getexif().get(ExifTags.Base.Orientation, 1)
        path = self.mask_path(index)
        with opened(path, "segmentation") as stored:
            if stored.size != size:
                raise DataError(
                    f"The segmentation {path} has {stored.width} x {stored.height} pixels and its "
                    f"image {size[0]} x {size[1]}: they must be equal; restore both files."
                )
            # Segmentations are drawn on the stored pixels, so they turn with the image.
            stored.getexif()[ExifTags.Base.Orientation] = turn
            upright = ImageOps.exif_transpose(stored)
            levels = np.asarray(upright if upright.mode.startswith("I") else upright.convert("L"))
        return levels > 0

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
