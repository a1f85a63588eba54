"""Stanford Cars: the places its files lie in, and what can be wrong with its MATLAB files."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from dataset_layouts import BOX_FIELDS, make_cars, write_annotations, write_mat
from qpmstudy.datasets import open_dataset
from qpmstudy.datasets.matfile import read_records, read_variable
from qpmstudy.errors import DataError

LABELS = "cars_test_annos_withlabels.mat"
GOOD = (3, 4, 20, 30, 1, "00001.jpg")


@pytest.mark.parametrize("devkit", ["devkit", "car_devkit/devkit", "car_devkit", "."])
@pytest.mark.parametrize("labels", ["devkit", "car_devkit/devkit", "car_devkit", "."])
@pytest.mark.parametrize("nested", [False, True])
def test_every_place_gives_the_same_cars(
    devkit: str, labels: str, nested: bool, tmp_path: Path
) -> None:
    root = make_cars(
        tmp_path / "cars", classes=2, train=1, test=1, devkit=devkit, labels=labels, nested=nested
    )
    cars = open_dataset("stanford-cars", root)
    assert cars.class_names == ("Maker Model 1 Coupe 2012", "Maker Model 2 Coupe 2012")
    folders = (
        ("cars_train/cars_train", "cars_test/cars_test") if nested else ("cars_train", "cars_test")
    )
    assert cars.ids == tuple(f"{folder}/0000{n}.jpg" for folder in folders for n in (1, 2))
    assert cars.labels.tolist() == [0, 1, 0, 1]
    assert cars.splits.tolist() == ["train", "train", "test", "test"]
    assert cars.mask(0) is None


def test_the_devkits_own_test_list_has_no_labels(tmp_path: Path) -> None:
    root = make_cars(tmp_path / "cars")
    (root / LABELS).rename(root / "devkit" / "cars_test_annos.mat")
    with pytest.raises(DataError, match=rf"has no {LABELS}.*cars_test_annos\.mat has no labels"):
        open_dataset("stanford-cars", root)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ((3, 4, 20, 30, 0, "00001.jpg"), r"class is none of the 3"),
        ((3, 4, 20, 30, 4, "00001.jpg"), r"class is none of the 3"),
        ((3, 4, 20, 30, 1.5, "00001.jpg"), r"class is none of the 3"),
        ((3, 4, 20, 30, "one", "00001.jpg"), r"class is none of the 3"),
        ((3, 4, 20, 30, np.array([1, 2]), "00001.jpg"), r"class is none of the 3"),
        ((3, 4, 20, np.nan, 1, "00001.jpg"), r"class is none of the 3"),
        ((3, 4, 2, 30, 1, "00001.jpg"), r"box has no extent"),
        ((3, 4, 20, 30, 1, "../00001.jpg"), r"file is no name"),
        ((3, 4, 20, 30, 1, 7), r"file is no name"),
        ((3, 4, 20, 30, 1, "absent.jpg"), r"of which 1 is missing.*absent\.jpg"),
        ((3, 4, 20, 30, 1, "00002.jpg"), r"names cars_train/00002\.jpg more than once"),
    ],
)
def test_wrong_annotations(record: tuple[object, ...], message: str, tmp_path: Path) -> None:
    root = make_cars(tmp_path / "cars")
    others = [(1, 1, 9, 9, 1 + n // 4, f"{n + 1:05d}.jpg") for n in range(1, 12)]
    write_annotations(root / "devkit" / "cars_train_annos.mat", [record, *others])
    with pytest.raises(DataError, match=message):
        open_dataset("stanford-cars", root)


def test_a_class_without_pictures(tmp_path: Path) -> None:
    root = make_cars(tmp_path / "cars")
    names = np.array([["a", "b", "c", "d"]], dtype=object)
    write_mat(root / "devkit" / "cars_meta.mat", class_names=names)
    with pytest.raises(DataError, match=r"no images of 1 of 4 classes, the first is 'd'"):
        open_dataset("stanford-cars", root)


def _version_73(path: Path) -> None:
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(99))


def _version_4(path: Path) -> None:
    savemat(path, {"annotations": np.eye(3)}, format="4")


def _version_6(path: Path) -> None:
    savemat(path, {"annotations": np.eye(3)}, do_compression=False)


def _web_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><title>404</title>" * 9)


@pytest.mark.parametrize("write", [_version_73, _version_4, _version_6, _web_page, Path.touch])
def test_files_of_other_versions(write: Callable[[Path], None], tmp_path: Path) -> None:
    root = make_cars(tmp_path / "cars")
    path = root / "devkit" / "cars_train_annos.mat"
    path.unlink()
    write(path)
    with pytest.raises(
        DataError, match=r"cars_train_annos\.mat is no MATLAB file of version 7 .*cars_train\.tgz"
    ):
        open_dataset("stanford-cars", root)


def test_files_of_other_content(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    write_mat(path, other=np.eye(2), numbers=np.eye(3), table=np.array([(1, 2)], dtype="i4,i4"))
    with pytest.raises(DataError, match=r"x\.mat has no variable 'annotations': get it"):
        read_variable(path, "annotations", "get it")
    with pytest.raises(DataError, match=r"'numbers' in .* no list of records .*without f0"):
        read_records(path, "numbers", ("f0",), "get it")
    with pytest.raises(DataError, match=r"'table' in .*with the fields f0, f7 \(without f7"):
        read_records(path, "table", ("f0", "f7"), "get it")


def test_a_single_record_is_a_list_of_one(tmp_path: Path) -> None:
    write_annotations(tmp_path / "x.mat", [GOOD])
    assert read_records(tmp_path / "x.mat", "annotations", (*BOX_FIELDS, "fname"), "") == [
        (3, 4, 20, 30, "00001.jpg")
    ]


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mat") / "annos.mat"
    write_annotations(path, [(3, 4, 20, 30, n, f"{n:05d}.jpg") for n in range(1, 10)])
    return path


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damage_is_read_as_annotations(annotations: Path, data: st.DataObject) -> None:
    whole = annotations.read_bytes()
    content = bytearray(whole)
    if data.draw(st.booleans(), "cut short"):
        content = content[: data.draw(st.integers(0, len(content) - 1), "length")]
    else:
        place = data.draw(st.integers(124, len(content) - 1), "place")
        content[place] ^= data.draw(st.integers(1, 255), "flip")
    damaged = annotations.with_name("damaged.mat")
    damaged.write_bytes(content)
    try:
        found = read_records(damaged, "annotations", ("class", "fname"), "get it")
    except DataError:
        return
    assert found == read_records(annotations, "annotations", ("class", "fname"), "get it")


def test_a_wrong_byte_behind_a_right_checksum_is_an_error_too(annotations: Path) -> None:
    """As if written by another program: the content itself does not parse."""
    whole = annotations.read_bytes()
    inner = zlib.decompress(whole[136:])
    packed = zlib.compress(inner[: len(inner) // 2])
    path = annotations.with_name("half.mat")
    path.write_bytes(whole[:132] + len(packed).to_bytes(4, "little") + packed)
    with pytest.raises(DataError, match=r"half\.mat cannot be read as a MATLAB file.*get it"):
        read_records(path, "annotations", ("class",), "get it")
