"""Names, folders, the driver's lock, and making sure that embeddings are there."""

import os
import shutil
from pathlib import Path

import pytest

from qpmstudy.errors import ConfigError, DataError
from qpmstudy.files import write_json
from storage import prepare
from storage.driver_lock import driver_lock, is_running
from storage.embeddings import is_complete
from storage.ensure import ensure_store, open_named
from storage.layout import StorageRoot
from storage.prepare import Embedding, embed
from storage.spec_file import stored_spec
from storage.study import parse_study


def test_no_name_leaves_the_root(tmp_path: Path) -> None:
    root = StorageRoot(tmp_path)
    for name in ("", "..", ".", "a/b", "/etc", "_artifacts", ".hidden", "a b", "a\n", "x" * 65):
        with pytest.raises(ConfigError, match="is not allowed"):
            root.study(name)
    assert root.study("l1.fm-2_b").path == tmp_path / "l1.fm-2_b"


def test_an_unknown_study_lists_the_known(tmp_path: Path) -> None:
    root = StorageRoot(tmp_path)
    with pytest.raises(DataError, match=r"no study 'a' in .* \(known: none yet\)"):
        root.existing_study("a")
    for name in ("b", "c"):
        write_json(root.study(name).spec, {})
    (tmp_path / "_artifacts").mkdir()
    (tmp_path / "stray").mkdir()
    assert [study.name for study in root.studies()] == ["b", "c"]
    with pytest.raises(DataError, match=r"known: b, c\)\. Launch one"):
        root.existing_study("l1fm")
    write_json(root.study("photos").spec, {})
    with pytest.raises(DataError, match=r"known: b, c, photos\)\. Did you mean 'photos'\?$"):
        root.existing_study("phots")


def test_missing_embeddings_name_a_dataset_that_is_called_nearly_so(tmp_path: Path) -> None:
    root = StorageRoot(tmp_path)
    write_json(tmp_path / "_embeddings" / "folder-photos" / "pixels" / "zarr.json", {})
    with pytest.raises(DataError, match=r"--data FOLDER\. Did you mean 'folder-photos'\?$"):
        open_named(root, "folder-foto", "pixels")
    with pytest.raises(DataError, match=r"There are no embeddings .*--data FOLDER$"):
        open_named(root, "folder-cars", "pixels")


def test_the_stored_specification_is_the_launched_one(tmp_path: Path) -> None:
    folder = StorageRoot(tmp_path).study("a")
    spec = parse_study({"name": "a", "space": {"dense.lr": {"values": [0.1, 1]}}}, "a.yaml")
    write_json(folder.spec, spec.canonical())
    assert stored_spec(folder) == spec
    folder.spec.write_text("{")
    with pytest.raises(DataError, match=r"study.json is not valid JSON"):
        stored_spec(folder)


def test_one_driver_a_study(tmp_path: Path) -> None:
    lock = tmp_path / "a" / "driver.lock"
    assert not is_running(lock)
    with driver_lock(lock):
        assert is_running(lock)
        with (
            pytest.raises(ConfigError, match=rf"'a' is being run.*process {os.getpid()} on"),
            driver_lock(lock),
        ):
            pass
        assert is_running(lock)  # the refused driver has not dropped the holder's lock
    assert not is_running(lock)
    with driver_lock(lock):
        pass


@pytest.mark.timeout(20)
@pytest.mark.parametrize("link", ["runs", "runs/a"])
def test_a_link_to_a_folder_that_is_gone_is_no_place_for_a_lock(tmp_path: Path, link: str) -> None:
    """As to a disk that is not mounted: it is neither made nor waited for."""
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "not mounted")
    lock = tmp_path / "runs" / "a" / "driver.lock"
    assert not is_running(lock)
    with pytest.raises(FileExistsError, match=link), driver_lock(lock):
        pass


def test_the_lock_falls_with_its_holder(tmp_path: Path) -> None:
    """The operating system drops it, however the process ends."""
    lock = tmp_path / "a" / "driver.lock"
    child = os.fork()
    if child == 0:
        with driver_lock(lock):
            os._exit(0)
    os.waitpid(child, 0)
    assert not is_running(lock)
    with driver_lock(lock):
        pass


def test_a_store_that_is_there_is_used(
    birds_root: StorageRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "embed", None)  # nothing is made
    store = ensure_store(birds_root, "birds", "patch-descriptor", lambda *_: None)
    assert store.shards == 3


def test_birds_are_made_only_when_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(prepare, "embed", lambda root, name, *_: asked.append(name))
    ensure_store(StorageRoot(tmp_path), "birds-smoke", "patch-descriptor", lambda *_: None)
    assert asked == ["birds-smoke"]


def test_real_images_cannot_be_made(tmp_path: Path) -> None:
    root = StorageRoot(tmp_path)
    with pytest.raises(DataError, match=r"no embeddings .*embed --dataset cub2011"):
        ensure_store(root, "cub2011", "patch-descriptor", lambda *_: None)
    with pytest.raises(DataError, match=r"cannot be made here.*--dataset cub2011 --data FOLDER"):
        embed(root, "cub2011", "patch-descriptor", lambda *_: None)
    with pytest.raises(ConfigError, match=r"Unknown dataset 'bird'.*Did you mean 'birds'"):
        embed(root, "bird", "patch-descriptor", lambda *_: None)


def test_force_replaces_a_store_of_other_images(birds_root: StorageRoot, tmp_path: Path) -> None:
    folder = tmp_path / "cub"
    source = birds_root.embeddings("birds", "patch-descriptor")
    root = StorageRoot(tmp_path / "root")
    path = root.embeddings("cub2011", "patch-descriptor")
    shutil.copytree(source, path)
    _two_pictures(folder)
    told: list[tuple[str, int, int]] = []

    def run(force: bool) -> None:
        how = Embedding(data=folder, force=force)
        embed(root, "cub2011", "patch-descriptor", lambda *x: told.append(x), how)

    with pytest.raises(DataError, match="add --force"):
        run(force=False)
    assert all("embedding" not in phase for phase, _, _ in told)
    run(force=True)
    assert is_complete(path)
    assert told[-1] == ("embedding cub2011", 2, 2)


def _two_pictures(folder: Path) -> None:
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (30, 20), "red").save(folder / "images" / f"{name}.png")
    tables = {
        "classes.txt": "1 x\n",
        "images.txt": "1 a.png\n2 b.png\n",
        "image_class_labels.txt": "1 1\n2 1\n",
        "train_test_split.txt": "1 1\n2 0\n",
    }
    for file, text in tables.items():
        (folder / file).write_text(text)
