"""The CUB-200-2011 folder loader: real file names, and an error of its own for each defect."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qpmstudy.datasets import open_dataset
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
