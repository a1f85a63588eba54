"""ImageDataset: pictures of every kind, masks, damage, fingerprint."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.cub import open_cub
from qpmstudy.datasets.pictures import upright_rgb
from qpmstudy.errors import DataError


@pytest.fixture
def birds(tiny_root: Path, tmp_path: Path) -> ImageDataset:
    """A copy that a test may damage."""
    shutil.copytree(tiny_root, tmp_path / "copy")
    return open_cub("tiny", tmp_path / "copy")


def test_corrupt_and_missing_images_are_named(birds: ImageDataset) -> None:
    path = birds.image_path(0)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"image .*img_0001\.png cannot be decoded.*restore"):
        birds.image(0)
    path.write_text("not a picture")
    with pytest.raises(DataError, match=r"image .*img_0001\.png cannot be decoded.*restore"):
        birds.image(0)
    path.unlink()
    with pytest.raises(DataError, match=r"image .*img_0001\.png does not exist: restore"):
        birds.image(0)


def test_damaged_segmentations_are_named(birds: ImageDataset) -> None:
    path = birds.mask_path(1)
    Image.new("L", (10, 12)).save(path)
    with pytest.raises(DataError, match=r"img_0002\.png has 10 x 12 pixels.*image 224 x 224"):
        birds.mask(1)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"segmentation .*img_0002\.png cannot be decoded"):
        birds.mask(1)
    path.unlink()
    with pytest.raises(DataError, match=r"segmentation .*img_0002\.png does not exist"):
        birds.mask(1)


def test_without_segmentations_there_are_no_masks(birds: ImageDataset) -> None:
    with_masks = birds.fingerprint()
    shutil.rmtree(birds.root / "segmentations")
    assert birds.mask(0) is None
    assert birds.fingerprint() != with_masks


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16", "1", "P"])
def test_a_segmentation_counts_above_zero_in_every_mode(birds: ImageDataset, mode: str) -> None:
    where = np.zeros((224, 224), bool)
    where[30:60, 100:150] = True
    if mode == "I;16":
        mask = Image.fromarray(where.astype(np.uint16))
    else:
        level = 255 if mode in ("1", "P") else 51
        mask = Image.fromarray(where.astype(np.uint8) * level).convert(mode)
    mask.save(birds.mask_path(0))
    assert np.array_equal(birds.mask(0), where)


def test_a_segmentation_turns_with_its_image(birds: ImageDataset) -> None:
    """Both stored as 30 x 20 pixels, shown turned by a quarter (EXIF orientation 6)."""
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:10, :10] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(stored).save(birds.image_path(0), exif=exif)
    Image.fromarray(stored[:, :, 0]).save(birds.mask_path(0))
    image, mask = birds.image(0), birds.mask(0)
    assert image.size == (20, 30)
    assert mask is not None
    assert np.array_equal(mask, np.asarray(image)[:, :, 0] > 0)
    assert mask[:10, 10:].all()


@pytest.mark.parametrize(("stored_as", "turn"), [(5, "TRANSPOSE"), (6, "ROTATE_270")])
def test_a_segmentation_of_the_picture_as_it_is_shown_is_not_turned(
    birds: ImageDataset, stored_as: int, turn: str
) -> None:
    """Programs that show pictures upright draw on 20 x 30 pixels what is stored as 30 x 20."""
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:10, :10] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = stored_as
    picture = Image.fromarray(stored)
    picture.save(birds.image_path(0), exif=exif)
    shown = picture.transpose(Image.Transpose[turn])
    shown.convert("L").save(birds.mask_path(0))
    mask = birds.mask(0)
    assert mask is not None
    assert np.array_equal(mask, np.asarray(birds.image(0))[:, :, 0] > 0)
    picture.save(birds.image_path(0))  # upright: now they belong to different pictures
    with pytest.raises(DataError, match=r"has 20 x 30 pixels and its image 30 x 20"):
        birds.mask(0)


def test_the_fingerprint_sees_every_part(birds: ImageDataset) -> None:
    prints = {birds.fingerprint()}
    assert open_cub("tiny", birds.root).fingerprint() in prints
    labels = birds.labels.copy()
    labels[0] = 1
    splits = birds.splits.copy()
    splits[0] = "test"
    for change in (
        {"labels": labels},
        {"splits": splits},
        {"class_names": ("a", *birds.class_names[1:])},
    ):
        prints.add(replace(birds, **change).fingerprint())
    for path in (birds.image_path(3), birds.mask_path(3)):
        path.write_bytes(path.read_bytes() + b"\0")
        prints.add(birds.fingerprint())
    assert len(prints) == 6
    birds.image_path(3).unlink()
    with pytest.raises(DataError, match=r"img_0004\.png is missing"):
        birds.fingerprint()


def test_sixteen_bits_are_scaled() -> None:
    grey = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    assert np.asarray(upright_rgb(grey))[0, :, 0].tolist() == [0, 100, 255]


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    clear.putpixel((0, 0), (200, 0, 0, 255))
    assert np.asarray(upright_rgb(clear)).tolist() == [[[200, 0, 0], [255, 255, 255]]]
