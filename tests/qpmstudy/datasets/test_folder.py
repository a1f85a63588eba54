"""Any folder of class folders: which files count, their order, and who trains and who tests."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset_layouts import make_folder, save
from qpmstudy.datasets import is_synthetic, open_dataset, registered
from qpmstudy.datasets.folder import TEST_SHARE, _splits, natural
from qpmstudy.errors import ConfigError, DataError

NAMES = st.lists(st.integers(0, 10**6).map(lambda n: f"{n}.jpg"), min_size=2, unique=True)


def picture(path: Path, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    save(Image.fromarray(noise), path)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of three pictures each, without a split."""
    root = tmp_path / "pets"
    for seed, name in enumerate(f"{pet}/{n}.png" for pet in ("cat", "dog") for n in (1, 2, 3)):
        picture(root / name, seed)
    return root


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    picture(root / "val" / "class 0" / "a.jpg", 1)
    picture(root / "shift" / "class 2" / "b.jpg", 2)
    for split in ("val", "shift"):
        shutil.copytree(root / split, root / "segmentations" / split)
        for path in list((root / "segmentations" / split).rglob("*.jpg")):
            Image.open(path).convert("L").save(path.with_suffix(".png"))
            path.unlink()
    dataset = open_dataset("folder", root)
    tops = [image_id.split("/")[0] for image_id in dataset.ids]
    assert Counter(zip(tops, dataset.splits.tolist(), strict=True)) == {
        ("train", "train"): 12,
        ("val", "train"): 1,
        ("test", "test"): 6,
        ("shift", "shift"): 1,
    }
    assert all(dataset.mask(index) is not None for index in range(len(dataset)))


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    classes = ["Bird 2", "bird 10", "bird 10b", "Émeu", "1", "02", "2"]
    for seed, name in enumerate(classes):
        picture(tmp_path / name / "10.png", seed)
        picture(tmp_path / name / "9.png", seed + 100)
    dataset = open_dataset("folder", tmp_path)
    assert dataset.class_names == ("1", "02", "2", "Bird 2", "bird 10", "bird 10b", "Émeu")
    assert dataset.ids[:2] == ("1/9.png", "1/10.png")


@given(names=st.lists(st.text(max_size=8)), random=st.randoms(use_true_random=False))
def test_natural_order_is_one_order(names: list[str], random: Random) -> None:
    other = names.copy()
    random.shuffle(other)
    assert sorted(names, key=natural) == sorted(other, key=natural)
    assert len({str(natural(name)) for name in names}) == len(set(names))


def test_what_is_no_picture_is_counted(pets: Path) -> None:
    for name in ("cat/.hidden.png", "cat/notes.txt", "dog/README", "labels.csv", ".DS_Store"):
        (pets / name).write_text("x")
    picture(pets / "preview.jpg")
    picture(pets / "__MACOSX" / "cat" / "1.png")
    picture(pets / ".cache" / "1.png")
    dataset = open_dataset("folder", pets)
    assert len(dataset) == 6
    assert dataset.ignored == 8


def test_suffixes_of_any_case_are_pictures(pets: Path) -> None:
    (pets / "cat" / "1.png").rename(pets / "cat" / "1.PNG")
    picture(pets / "cat" / "4.JPeG", 9)
    assert {"cat/1.PNG", "cat/4.JPeG"} <= set(open_dataset("folder", pets).ids)


def splits_of(names: list[str]) -> dict[str, str]:
    ids = [f"cat/{name}" for name in names]
    return dict(zip(ids, _splits(ids), strict=True))


@settings(deadline=None)
@given(names=NAMES, later=NAMES)
def test_later_pictures_move_no_earlier_one(names: list[str], later: list[str]) -> None:
    """Except the one that was moved so that its class has both kinds."""
    before = splits_of(names)
    after = splits_of(sorted({*names, *later}))
    moved = [image_id for image_id, split in before.items() if after[image_id] != split]
    assert set(before.values()) == {"train", "test"}
    assert len(moved) <= 1
    for image_id in moved:
        assert Counter(before.values())[before[image_id]] == 1


def test_a_fifth_of_each_class_tests() -> None:
    ids = [f"{label}/{number}.jpg" for label in range(20) for number in range(200)]
    shares = np.reshape([split == "test" for split in _splits(ids)], (20, 200)).mean(1)
    assert shares.mean() == pytest.approx(TEST_SHARE, abs=0.015)
    assert np.abs(shares - TEST_SHARE).max() < 0.1
    assert _splits(ids[::-1]) == _splits(ids)[::-1]


def test_the_drawn_split_is_the_same_everywhere(pets: Path, tmp_path: Path) -> None:
    """The figures themselves: another release or machine must not mix train and test."""
    splits = splits_of([f"{number}.jpg" for number in range(40)])
    tested = [image_id for image_id, split in splits.items() if split == "test"]
    assert tested == [f"cat/{number}.jpg" for number in (3, 13, 30, 36, 38)]
    shutil.move(pets, tmp_path / "elsewhere")
    assert len(open_dataset("folder", tmp_path / "elsewhere")) == 6


def test_a_train_folder_alone_is_split(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", test=0)
    drawn = open_dataset("folder", root).splits.tolist()
    assert set(drawn) == {"train", "test"}
    flat = make_folder(tmp_path / "flat", test=0, split=False)
    assert open_dataset("folder", flat).splits.tolist() == drawn


def _nothing(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def _pictures_without_classes(root: Path) -> None:
    _nothing(root)
    picture(root / "1.png")


def _rename_cat(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "cat").rename(root / name)

    return change


def _deeper(root: Path) -> None:
    shutil.move(root / "cat", root / "dog" / "cat")


def _empty_class(root: Path) -> None:
    (root / "emu").mkdir()


def _class_that_only_tests(root: Path) -> None:
    for name in ("cat", "dog"):
        shutil.move(root / name, root / "train" / name)
    picture(root / "test" / "emu" / "1.png", 9)


def _copy_in_another_class(root: Path) -> None:
    shutil.copy(root / "cat" / "2.png", root / "dog" / "4.png")


def _copy_in_another_split(root: Path) -> None:
    for name in ("cat", "dog"):
        shutil.move(root / name, root / "train" / name)
    (root / "test" / "cat").mkdir(parents=True)
    shutil.copy(root / "train" / "cat" / "2.png", root / "test" / "cat" / "9.png")


def _shared_mask(root: Path) -> None:
    picture(root / "cat" / "1.jpg", 9)
    for pet in ("cat", "dog"):
        for number in (1, 2, 3):
            save(Image.new("L", (16, 12)), root / "segmentations" / pet / f"{number}.png")


def _line_in_a_name(root: Path) -> None:
    picture(root / "cat" / "4\n5.png", 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nothing, r"pets has no class folders: make one folder for each class"),
        (_pictures_without_classes, r"pets has no class folders"),
        (_rename_cat("train"), r"pets has train/ beside dog/, so that it is unclear"),
        (_rename_cat("test"), r"pets has test/ beside dog/"),
        (_rename_cat("masks"), r"pets has a folder masks/: name it segmentations/"),
        (_deeper, r"class folder .*dog has the folder cat/ in it"),
        (_empty_class, r"class folder .*emu has no pictures in it"),
        (_class_that_only_tests, r"no training images of 1 of 3 classes, the first is 'emu'"),
        (
            _copy_in_another_class,
            r"cat/2\.png and dog/4\.png .* same picture in two classes.* 0 more",
        ),
        (_copy_in_another_split, r"test/cat/9\.png .* same picture in two splits"),
        (_shared_mask, r"differ in their suffix alone and share .*cat.1\.png: rename"),
        (_line_in_a_name, r"names the image 'cat/4\\n5\.png', which is not a plain path"),
    ],
)
def test_folders_that_cannot_be_meant(
    change: Callable[[Path], None], message: str, pets: Path
) -> None:
    assert len(open_dataset("folder", pets)) == 6
    change(pets)
    with pytest.raises(DataError, match=message):
        open_dataset("folder", pets)


def test_only_a_test_folder(pets: Path) -> None:
    for name in ("cat", "dog"):
        shutil.move(pets / name, pets / "test" / name)
    with pytest.raises(DataError, match=r"pets has test/ but no train/"):
        open_dataset("folder", pets)


def test_copies_that_train_together_are_no_harm(pets: Path) -> None:
    for name in ("cat", "dog"):
        shutil.move(pets / name, pets / "train" / name)
    picture(pets / "test" / "cat" / "1.png", 9)
    shutil.copy(pets / "train" / "cat" / "1.png", pets / "train" / "cat" / "4.png")
    assert len(open_dataset("folder", pets)) == 8


@pytest.mark.parametrize("name", ["folder", "folder-pets", "folder-My.birds_2"])
def test_a_folder_has_a_name_of_its_own(name: str, pets: Path) -> None:
    assert open_dataset(name, pets).name == name
    assert registered(name) == "folder"
    assert not is_synthetic(name)


@pytest.mark.parametrize("name", ["folder-", "folder-a/b", "folder-../x", "folder-.", "folders"])
def test_names_that_would_leave_their_place(name: str, pets: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown dataset"):
        open_dataset(name, pets)
