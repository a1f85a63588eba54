"""The CUB-200-2011 folder loader: real file names, and an error of its own for each defect."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_layouts import make_cub
from qpmstudy.datasets import open_dataset
from qpmstudy.datasets.cub_parts import read_parts
from qpmstudy.errors import DataError

FILES = {
    "classes.txt": "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
    "images.txt": (
        "1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg\n"
        "2 001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg\n"
        "3 002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg\n"
    ),
    "image_class_labels.txt": "1 1\n2 1\n3 2\n",
    "train_test_split.txt": "1 0\n2 1\n3 1\n",
}


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    root = tmp_path / "CUB_200_2011"
    root.mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text)
    for index, line in enumerate(FILES["images.txt"].splitlines()):
        path = root / "images" / line.split(" ", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (90, 80, 70)).save(path)
        grey = np.zeros((40, 50), np.uint8)
        grey[10:20, 5 : 15 + index] = 51  # marked by one annotator of five
        mask = (root / "segmentations" / path.relative_to(root / "images")).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(mask)
    return root


def test_real_names_load(cub: Path) -> None:
    birds = open_dataset("cub2011", cub)
    assert birds.name == "cub2011"
    assert birds.class_names == ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    assert birds.ids[2] == "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg"
    assert birds.labels.tolist() == [0, 0, 1]
    assert birds.labels.dtype == np.int64
    assert birds.splits.tolist() == ["test", "train", "train"]
    mask = birds.mask(2)
    assert mask is not None
    assert mask.sum() == 10 * 12


def test_extra_splits(cub: Path) -> None:
    (cub / "extra_splits.txt").write_text("1 shift\n")
    assert open_dataset("cub2011", cub).splits.tolist() == ["shift", "train", "train"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 train\n", r"'1 train' of extra_splits\.txt.*not one of shift"),
        ("9 shift\n", r"'9 shift' of extra_splits\.txt.*not in images\.txt"),
        ("2 shift\n", r"'2 shift' of extra_splits\.txt.*trains on"),
    ],
)
def test_wrong_extra_splits(cub: Path, line: str, message: str) -> None:
    (cub / "extra_splits.txt").write_text(line)
    with pytest.raises(DataError, match=message):
        open_dataset("cub2011", cub)


@pytest.mark.parametrize("file", list(FILES))
def test_each_missing_file_is_named(cub: Path, file: str) -> None:
    (cub / file).unlink()
    with pytest.raises(DataError, match=rf"CUB_200_2011 has no {file}: .*CUB_200_2011\.tgz"):
        open_dataset("cub2011", cub)


def test_missing_folders(cub: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no folder .*nowhere: .*CUB_200_2011\.tgz"):
        open_dataset("cub2011", tmp_path / "nowhere")
    shutil.rmtree(cub / "images")
    with pytest.raises(DataError, match=r"has no images/"):
        open_dataset("cub2011", cub)


@pytest.mark.parametrize("file", list(FILES))
def test_each_empty_file_is_named(cub: Path, file: str) -> None:
    (cub / file).write_text("\n")
    with pytest.raises(DataError, match=rf"{file} in .* is empty"):
        open_dataset("cub2011", cub)


@pytest.mark.parametrize("file", list(FILES))
def test_each_malformed_line_is_shown(cub: Path, file: str) -> None:
    (cub / file).write_text(FILES[file] + "what is this\n")
    with pytest.raises(DataError, match=rf"Line \d 'what is this' of {file} in .*<number> <value>"):
        open_dataset("cub2011", cub)


@pytest.mark.parametrize("file", list(FILES))
def test_a_number_may_not_come_twice(cub: Path, file: str) -> None:
    (cub / file).write_text(FILES[file] + FILES[file].splitlines()[0])
    with pytest.raises(DataError, match=rf"{file} in .*second line for 1"):
        open_dataset("cub2011", cub)


@pytest.mark.parametrize("file", ["image_class_labels.txt", "train_test_split.txt"])
def test_counts_that_disagree(cub: Path, file: str) -> None:
    (cub / file).write_text("1 1\n2 1\n")
    with pytest.raises(
        DataError, match=rf"{file} in .* has 2 images and images\.txt 3.*the first is image 3"
    ):
        open_dataset("cub2011", cub)


def _unknown_class(text: str) -> str:
    return text.replace("3 2", "3 7")


def _unknown_flag(text: str) -> str:
    return text.replace("3 1", "3 2")


def _same_path(text: str) -> str:
    return text.replace("0046_18", "0009_34")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("image_class_labels.txt", _unknown_class, r"'3 7' of image_class_labels.*classes\.txt"),
        ("train_test_split.txt", _unknown_flag, r"'3 2' of train_test_split.*neither 0 nor 1"),
        ("images.txt", _same_path, r"names .*0009_34\.jpg more than once"),
    ],
)
def test_values_that_cannot_be(
    cub: Path, file: str, change: Callable[[str], str], message: str
) -> None:
    (cub / file).write_text(change(FILES[file]))
    with pytest.raises(DataError, match=message):
        open_dataset("cub2011", cub)


def test_a_file_that_is_not_text(cub: Path) -> None:
    (cub / "images.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"images\.txt in .* is not a text file"):
        open_dataset("cub2011", cub)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n2 ", "\n77 ", r"bounding_boxes\.txt in .* has 18 images .*the first is image 2"),
        ("\n2 ", "\n2 nan ", r"'2 nan .* of bounding_boxes\.txt.*not 4 numbers"),
        ("\n2 ", "\n2 -inf 1 1 1\n99 ", r"bounding_boxes\.txt in .* has 19 images"),
    ],
)
def test_boxes_that_cannot_be(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = make_cub(tmp_path / "cub") / "bounding_boxes.txt"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        open_dataset("cub2011", tmp_path / "cub")


@pytest.mark.parametrize("box", ["3.0 4.0 0.0 9.0", "3.0 4.0 9.0 -1.0", "3 4 9", "a b c d"])
def test_a_box_that_is_none(cub: Path, box: str) -> None:
    (cub / "bounding_boxes.txt").write_text(f"1 1 2 20 20\n2 {box}\n3 1 2 20 20\n")
    with pytest.raises(DataError, match=rf"'2 {box}' of bounding_boxes\.txt in .* is wrong"):
        open_dataset("cub2011", cub)


def test_boxes_are_widened_to_whole_pixels_and_cut_at_the_edge(cub: Path) -> None:
    (cub / "bounding_boxes.txt").write_text("1 1.5 2.0 3.2 4\n2 40.0 30 25 25\n3 -3 0 10 9\n")
    birds = open_dataset("cub2011-cropped", cub)
    regions = [image_id.split("#")[1] for image_id in birds.ids]
    assert regions == ["xywh=1,2,4,4", "xywh=40,30,25,25", "xywh=0,0,7,9"]
    assert [birds.image(index).size for index in range(3)] == [(4, 4), (10, 10), (7, 9)]


def test_a_box_beside_its_picture(cub: Path) -> None:
    (cub / "bounding_boxes.txt").write_text("1 50 2 3 4\n2 4 3 2 2\n3 3 0 10 9\n")
    birds = open_dataset("cub2011-cropped", cub)
    for look in (birds.image, birds.mask):
        with pytest.raises(DataError, match=r"50,2,3,4 .*outside a picture of 50 x 40 pixels"):
            look(0)


def test_parts_go_with_their_images(tmp_path: Path) -> None:
    birds = open_dataset("cub2011", make_cub(tmp_path / "cub"))
    for dataset in (birds, birds.without([0, 9]), birds.cropped()):
        parts = read_parts(dataset)
        assert parts is not None
        assert parts.names == ("belly", "left eye")
        assert parts.visible.tolist() == [[True, False]] * len(dataset)
        assert not parts.locations[:, 1].any()
    parts = read_parts(birds.without([0, 9]))
    assert parts is not None
    assert birds.boxes is not None
    middle = birds.boxes[:, :2] + birds.boxes[:, 2:] / 2
    assert np.array_equal(parts.locations[:, 0], np.delete(middle, [0, 9], axis=0))


def test_without_parts(cub: Path) -> None:
    assert read_parts(open_dataset("cub2011", cub)) is None


@pytest.mark.parametrize("file", ["parts/parts.txt", "parts/part_locs.txt"])
def test_a_missing_file_of_parts_is_named(file: str, tmp_path: Path) -> None:
    root = make_cub(tmp_path / "cub")
    (root / file).unlink()
    with pytest.raises(DataError, match=rf"{root} has no {file}: .*CUB_200_2011\.tgz"):
        read_parts(open_dataset("cub2011", root))


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("part_locs.txt", "1 3 5.0 5.0 1", r"'1 3 5\.0 5\.0 1' of parts/part_locs.*no part of"),
        ("part_locs.txt", "99 1 5.0 5.0 1", r"'99 1 5\.0 5\.0 1' of parts/part_locs.*no image of"),
        ("part_locs.txt", "1 1 5.0 1", r"'1 1 5\.0 1' of parts/part_locs.*not 3 numbers"),
        ("parts.txt", "crown", r"'crown' of parts/parts\.txt.*<number> <value>"),
    ],
)
def test_parts_that_cannot_be(file: str, line: str, message: str, tmp_path: Path) -> None:
    root = make_cub(tmp_path / "cub")
    with (root / "parts" / file).open("a") as stream:
        stream.write(line)
    with pytest.raises(DataError, match=message):
        read_parts(open_dataset("cub2011", root))


@pytest.mark.parametrize("path", ["../x/a.jpg", "/etc/a.jpg", "x/\x07.jpg"])
def test_images_outside_of_the_dataset(cub: Path, path: str) -> None:
    (cub / "images.txt").write_text(FILES["images.txt"] + f"4 {path}\n")
    (cub / "image_class_labels.txt").write_text(FILES["image_class_labels.txt"] + "4 1\n")
    (cub / "train_test_split.txt").write_text(FILES["train_test_split.txt"] + "4 1\n")
    with pytest.raises(DataError, match=r"names the image .* not a plain path below images/"):
        open_dataset("cub2011", cub)
