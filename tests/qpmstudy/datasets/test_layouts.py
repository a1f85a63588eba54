"""The layouts of real datasets: what is read of them, and an error of its own for each defect."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_layouts import (
    BANNER,
    HEIGHT,
    HUES,
    WIDTH,
    drawn,
    make_aircraft,
    make_cars,
    make_cub,
    make_folder,
)
from qpmstudy.datasets import DATASETS, ImageDataset, broken_images, open_dataset
from qpmstudy.errors import DataError

MAKERS: dict[str, Callable[[Path], Path]] = {
    "cub2011": make_cub,
    "stanford-cars": make_cars,
    "fgvc-aircraft": make_aircraft,
    "folder": make_folder,
}
BOXED = ("cub2011", "stanford-cars", "fgvc-aircraft")
FILES = [
    ("cub2011", "classes.txt"),
    ("cub2011", "images.txt"),
    ("cub2011", "image_class_labels.txt"),
    ("cub2011", "train_test_split.txt"),
    ("cub2011", "images"),
    ("cub2011-cropped", "bounding_boxes.txt"),
    ("stanford-cars", "devkit/cars_meta.mat"),
    ("stanford-cars", "devkit/cars_train_annos.mat"),
    ("stanford-cars", "cars_test_annos_withlabels.mat"),
    ("stanford-cars", "cars_train"),
    ("stanford-cars", "cars_test"),
    ("fgvc-aircraft", "data/variants.txt"),
    ("fgvc-aircraft", "data/images_variant_train.txt"),
    ("fgvc-aircraft", "data/images_variant_val.txt"),
    ("fgvc-aircraft", "data/images_variant_test.txt"),
    ("fgvc-aircraft", "data/images"),
    ("fgvc-aircraft-cropped", "data/images_box.txt"),
    ("folder", "train"),
]
HOW = {
    "cub2011": r"CUB_200_2011\.tgz",
    "stanford-cars": r"cars_train\.tgz",
    "fgvc-aircraft": r"fgvc-aircraft-2013b\.tar\.gz",
    "folder": r"one folder for each class",
}


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def hue(dataset: ImageDataset, index: int) -> tuple[int, ...]:
    """Return the class hue that is nearest to the colour in the middle of the object."""
    assert dataset.boxes is not None
    x, y, width, height = dataset.boxes[index].astype(int)
    middle = np.asarray(dataset.image(index))[y + height // 2, x + width // 2].astype(int)
    return min(HUES, key=lambda colour: np.abs(middle - colour).sum())


@pytest.mark.parametrize("name", list(MAKERS))
def test_labels_and_splits_are_those_of_the_pictures(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(name, MAKERS[name](tmp_path / "data"))
    assert len(dataset.class_names) == 3
    assert Counter(zip(dataset.labels.tolist(), dataset.splits.tolist(), strict=True)) == {
        (label, split): count for label in range(3) for split, count in (("train", 4), ("test", 2))
    }
    assert broken_images(dataset) == []
    for index in range(len(dataset)):
        assert dataset.image(index).size == (WIDTH, HEIGHT)
        if dataset.boxes is not None:
            assert hue(dataset, index) == HUES[dataset.labels[index]]


@pytest.mark.parametrize("name", BOXED)
def test_boxes_are_where_the_objects_are(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(name, MAKERS[name](tmp_path / "data"))
    assert dataset.boxes is not None
    found = {
        (label, *box)
        for label, box in zip(dataset.labels.tolist(), dataset.boxes.tolist(), strict=True)
    }
    assert found == {(item.label, *map(float, item.box)) for item in drawn(3, 4, 2)}


@pytest.mark.parametrize("name", BOXED)
def test_a_cropped_dataset_shows_the_box_alone(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / "data")
    whole, cropped = open_dataset(name, root), open_dataset(f"{name}-cropped", root)
    assert cropped.name == f"{name}-cropped"
    assert cropped.boxes is None
    assert cropped.fingerprint() != whole.fingerprint()
    assert whole.boxes is not None
    for index, (x, y, width, height) in enumerate(whole.boxes.astype(int).tolist()):
        part = (slice(y, y + height), slice(x, x + width))
        assert np.array_equal(cropped.image(index), np.asarray(whole.image(index))[part])
        assert cropped.image_path(index) == whole.image_path(index)
        mask, of_whole = cropped.mask(index), whole.mask(index)
        if name == "cub2011":
            assert mask is not None
            assert of_whole is not None
            assert np.array_equal(mask, of_whole[part])
            assert mask.sum() == of_whole.sum()


@pytest.mark.parametrize(("name", "file"), FILES)
def test_whatever_is_missing_is_named_and_how_to_get_it(
    name: str, file: str, tmp_path: Path
) -> None:
    base = name.removesuffix("-cropped")
    root = MAKERS[base](tmp_path / "data")
    remove(root / file)
    missing = "bounding boxes" if base != name else re.escape(Path(file).name)
    how = "restore the file" if base != name else HOW[base]
    with pytest.raises(DataError, match=rf"{re.escape(str(root))}.* no {missing}.*{how}"):
        open_dataset(name, root)
    if base != name:
        assert open_dataset(base, root).boxes is None


@pytest.mark.parametrize("name", [name for name in DATASETS.names() if "birds" not in name])
def test_a_folder_that_is_not_there(name: str, tmp_path: Path) -> None:
    how = HOW[name.removesuffix("-cropped")]
    with pytest.raises(DataError, match=rf"dataset '{name}' has no folder .*nowhere: .*{how}"):
        open_dataset(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", BOXED)
def test_pictures_that_were_not_unpacked_are_counted(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / "data")
    pictures = sorted(root.rglob("*.jpg"))
    for path in pictures[2:]:
        path.unlink()
    with pytest.raises(DataError, match=rf"lists 18 images, of which 16 are missing.*{HOW[name]}"):
        open_dataset(name, root)


@pytest.mark.parametrize("name", ["cub2011", "folder"])
def test_masks_that_were_not_unpacked_are_counted(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / "data")
    masks = sorted((root / "segmentations").rglob("*.png"))
    for path in masks[:5]:
        path.unlink()
    with pytest.raises(
        DataError, match=r"needs 18 segmentations, of which 5 are missing.*remove the folder"
    ):
        open_dataset(name, root)
    shutil.rmtree(root / "segmentations")
    assert open_dataset(name, root).mask(0) is None


@pytest.mark.parametrize("name", list(MAKERS))
def test_without_leaves_the_others_as_they_were(name: str, tmp_path: Path) -> None:
    whole = open_dataset(name, MAKERS[name](tmp_path / "data"))
    gone = [0, 7, len(whole) - 1]
    rest = whole.without(gone)
    kept = [index for index in range(len(whole)) if index not in gone]
    assert rest.ids == tuple(whole.ids[index] for index in kept)
    assert rest.labels.tolist() == whole.labels[kept].tolist()
    assert rest.splits.tolist() == whole.splits[kept].tolist()
    assert np.array_equal(rest.image(0), whole.image(kept[0]))
    assert rest.fingerprint() != whole.fingerprint()
    if whole.boxes is not None:
        assert rest.boxes is not None
        assert np.array_equal(rest.boxes, whole.boxes[kept])
    assert whole.without([]).fingerprint() == whole.fingerprint()


def test_a_class_is_not_left_without_training_images(tmp_path: Path) -> None:
    dataset = open_dataset("cub2011", make_cub(tmp_path / "data"))
    first = [index for index in range(len(dataset)) if dataset.labels[index] == 0]
    with pytest.raises(DataError, match=r"no training image left of 1 of 3 classes.*'001\.Bird_1'"):
        dataset.without(first)


@pytest.mark.parametrize("name", list(MAKERS))
def test_broken_pictures_are_listed_and_can_be_left_out(name: str, tmp_path: Path) -> None:
    """Also when they were broken before the dataset was opened, as they are in an archive."""
    root = MAKERS[name](tmp_path / "data")
    before = open_dataset(name, root)
    before.image_path(1).write_bytes(b"")
    truncated = before.image_path(8)
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size // 2])
    dataset = open_dataset(name, root)
    broken = broken_images(dataset)
    assert [image_id for image_id, _ in broken] == [dataset.ids[1], dataset.ids[8]]
    for (_, reason), path in zip(broken, (before.image_path(1), truncated), strict=True):
        assert f"The image {path} cannot be decoded" in reason
    rest = dataset.without([dataset.ids.index(image_id) for image_id, _ in broken])
    assert broken_images(rest) == []
    assert len(rest) == 16


def test_aircraft_lose_their_banner_only(tmp_path: Path) -> None:
    root = make_aircraft(tmp_path / "data")
    dataset = open_dataset("fgvc-aircraft", root)
    assert dataset.ids[0].endswith(f".jpg#xywh=0,0,{WIDTH},{HEIGHT}")
    assert np.asarray(dataset.image(0))[:-2].min(2).max() < 200  # no white but the JPEG's own
    box = root / "data" / "images_box.txt"
    first, *rest = box.read_text().splitlines()
    image = first.split()[0]
    box.write_text("\n".join([f"{image} 5 6 {WIDTH} {HEIGHT + BANNER}", *rest]))
    boxes = open_dataset("fgvc-aircraft", root).boxes
    assert boxes is not None
    index = dataset.ids.index(f"{image}.jpg#xywh=0,0,{WIDTH},{HEIGHT}")
    assert boxes[index].tolist() == [4, 5, WIDTH - 4, HEIGHT - 5]


@pytest.mark.parametrize("place", ["", "data", "deeper/fgvc-aircraft-2013b"])
def test_aircraft_may_be_named_by_any_of_its_folders(place: str, tmp_path: Path) -> None:
    root = make_aircraft(tmp_path / "deeper" / "fgvc-aircraft-2013b")
    named = {"": root, "data": root / "data"}.get(place, tmp_path / "deeper")
    assert len(open_dataset("fgvc-aircraft", named)) == 18


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("images_variant_test.txt", "700-300", "700-999", r"'00\d+ 700-999 A/B'.*not in variants"),
        ("images_box.txt", "0034309 ", "0034309 x ", r"'0034309 x .*images_box.*not 4 numbers"),
        ("images_box.txt", "0034309 ", "1234567 ", r"'0034309' of images_box.*not 4 numbers"),
        ("variants.txt", "701-310", "700-300", r"variants\.txt in .*names a variant twice"),
        ("variants.txt", "701-310 A/B", "701-310 A/B\nC-130", r"no images of 1 of 4.*'C-130'"),
        ("images_variant_train.txt", "0034309", "0034316", r"names 0034316\.jpg more than once"),
        ("images_variant_train.txt", "0034309", "../../x", r"Line 1 .*not '<number> <value>'"),
    ],
)
def test_aircraft_files_that_disagree(
    file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = make_aircraft(tmp_path / "data") / "data" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        open_dataset("fgvc-aircraft", tmp_path / "data")
