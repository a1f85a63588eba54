"""Making a store for a person: everything that is wrong is said before anything is computed."""

from pathlib import Path

import pytest
import yaml

from dataset_layouts import make_folder
from qpmstudy.errors import ConfigError, DataError
from storage.ensure import ensure_store
from storage.layout import StorageRoot
from storage.prepare import Embedding, broken_lines, embed, embed_named, summary

NAME = "folder-mine"


class Told:
    """Remembers the phases it is told about."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def __call__(self, name: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        if name not in self.phases:
            self.phases.append(name)


@pytest.fixture
def root(tmp_path: Path) -> StorageRoot:
    return StorageRoot(tmp_path / "runs")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data")


def spoil(data: Path, count: int) -> list[Path]:
    """Cut some pictures short and return them."""
    spoilt = sorted((data / "train").glob("*/*.png"))[::2][:count]
    for path in spoilt:
        path.write_bytes(path.read_bytes()[:100])
    return spoilt


def test_broken_images_are_all_named_before_anything_is_embedded(
    root: StorageRoot, data: Path
) -> None:
    spoilt, told = spoil(data, 3), Told()
    with pytest.raises(DataError, match="3 of the 18 images of 'folder-mine'") as error:
        embed(root, NAME, "pixels-112", told, Embedding(data=data))
    assert all(path.name in str(error.value) for path in spoilt)
    assert "--skip-broken" in str(error.value)
    assert told.phases == ["checking folder-mine"]
    assert root.stores() == []


def test_broken_images_are_left_out_by_choice(root: StorageRoot, data: Path) -> None:
    whole = embed(root, NAME, "pixels-112", Told(), Embedding(data=data))
    all_ids = whole.read_without_patches().ids
    spoilt = {path.relative_to(data).as_posix() for path in spoil(data, 2)}
    skip = Embedding(data=data, skip_broken=True)
    with pytest.raises(DataError, match=r"made from other images.*add --force"):
        embed(root, NAME, "pixels-112", Told(), skip)
    store = embed(
        root, NAME, "pixels-112", Told(), Embedding(data=data, skip_broken=True, force=True)
    )
    light = store.read_without_patches()
    assert set(light.ids) == set(all_ids) - spoilt
    assert set(store.attributes["left_out"]) == spoilt
    assert store.fingerprint != whole.fingerprint
    lines = "\n".join(summary(store))
    assert "left out 2 broken images" in lines
    assert all(name in lines for name in spoilt)
    (train, test) = ((light.splits == split).sum() for split in ("train", "test"))
    assert f"classes: {test} test, {train} train images\n" in lines
    example = yaml.safe_load(lines.rpartition("in a study file: ")[2])
    assert example == {"embeddings": {"dataset": NAME, "backbone": "pixels-112"}}
    # again: nothing is checked or computed; without the choice they are named again
    told = Told()
    assert embed(root, NAME, "pixels-112", told, skip).fingerprint == store.fingerprint
    assert told.phases == []
    with pytest.raises(DataError, match="2 of the 18 images"):
        embed(root, NAME, "pixels-112", Told(), Embedding(data=data))


def test_broken_masks_count_as_broken_images(root: StorageRoot, data: Path) -> None:
    mask = next((data / "segmentations").rglob("*.png"))
    mask.write_bytes(b"no picture")
    with pytest.raises(DataError, match=f"segmentation .*{mask.name} cannot be decoded"):
        embed(root, NAME, "pixels-112", Told(), Embedding(data=data))


def test_force_keeps_the_old_store_until_the_images_are_known_to_be_good(
    root: StorageRoot, data: Path
) -> None:
    before = embed(root, NAME, "pixels-112", Told(), Embedding(data=data)).fingerprint
    spoil(data, 1)
    with pytest.raises(DataError, match="1 of the 18 images"):
        embed(root, NAME, "pixels-112", Told(), Embedding(data=data, force=True))
    assert ensure_store(root, NAME, "pixels-112", Told()).fingerprint == before


def test_no_class_is_lost_with_its_images(root: StorageRoot, data: Path) -> None:
    for path in (data / "train" / "class 1").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no training image left of 1 of 3 classes.*'class 1'"):
        embed(root, NAME, "pixels-112", Told(), Embedding(data=data, skip_broken=True))


def test_long_lists_are_cut() -> None:
    text = broken_lines({f"{number}.png": "broken" for number in range(50)})
    assert text.count("\n") == 20
    assert text.endswith("and 30 more")


def test_names_are_checked_before_files(root: StorageRoot, tmp_path: Path) -> None:
    told = Told()
    with pytest.raises(ConfigError, match="layer to be 1 to 12"):
        embed(root, "folder-mine", "dino-vits16@layer=90", told, Embedding(data=tmp_path / "no"))
    with pytest.raises(ConfigError, match=r"Unknown dataset 'mine'.*folder-NAME.*folder-mine, "):
        embed(root, "mine", "pixels", told, Embedding(data=tmp_path))
    with pytest.raises(ConfigError, match="Unknown dataset 'folder-'"):
        embed(root, "folder-", "pixels", told, Embedding(data=tmp_path))
    with pytest.raises(DataError, match=r"embed --dataset folder-mine --data FOLDER"):
        embed(root, "folder-mine", "pixels", told)
    with pytest.raises(ConfigError, match="'pixels' has no options, but precision"):
        embed_named(root, told, "folder-mine", "pixels", "bfloat16", None, data=tmp_path)
    assert not root.path.exists()


def test_a_study_is_told_how_to_make_a_store_that_only_a_person_can(root: StorageRoot) -> None:
    with pytest.raises(
        DataError,
        match=r"embed --dataset cub2011 --backbone dino-vits16@layer=11 --data FOLDER",
    ):
        ensure_store(root, "cub2011", "dino-vits16@layer=11", Told())
