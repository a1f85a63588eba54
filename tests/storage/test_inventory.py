"""What stores there are and whether they are whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset_layouts import make_folder
from qpmstudy.errors import DataError
from storage import new_store
from storage.inventory import listing, verify_lines
from storage.layout import StorageRoot
from storage.prepare import Embedding, embed
from storage.shards import Work, fill_here

ROW = 196 * 192 * 2


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageRoot:
    """A root with two stores of 18 images in shards of four."""
    monkeypatch.setattr(new_store, "CHUNK_BYTES", 2 * ROW)
    monkeypatch.setattr(new_store, "SHARD_BYTES", 4 * ROW)
    root = StorageRoot(tmp_path / "runs")
    for name in ("folder-a", "folder-b"):
        data = make_folder(tmp_path / name)
        embed(root, name, "pixels-112", lambda *_: None, Embedding(data=data))
    return root


def stop_early(root: StorageRoot) -> None:
    """Make the second store one that was stopped after two shards."""

    def two(work: Work, *told: Any) -> None:
        fill_here(replace(work, shards=work.shards[:2]), *told)
        raise RuntimeError("the power went out")

    how = Embedding(data=root.path.parent / "folder-b", force=True, fill=two)
    with pytest.raises(RuntimeError, match="the power went out"):
        embed(root, "folder-b", "pixels-112", lambda *_: None, how)


def test_every_store_is_listed(root: StorageRoot) -> None:
    stop_early(root)
    header, first, second = listing(root)
    assert header.split() == ["dataset", "backbone", "images", "grid", "dim", "on", "disk", "state",
                              "fingerprint"]  # fmt: skip
    assert first.startswith("folder-a  pixels-112  18      14 x 14  192")
    assert "  complete  " in first
    assert "2 of 5 shards: embed it again to go on" in second
    size = 18 * ROW / 2**20
    assert f"{size:.1f} MiB" in first or f"{size + 0.1:.1f} MiB" in first
    (root.embeddings("folder-a", "pixels-112") / "zarr.json").write_text("{")
    assert "unreadable: embed --verify says why" in listing(root)[1]


def test_an_empty_root_says_so(tmp_path: Path) -> None:
    assert listing(StorageRoot(tmp_path)) == [
        f"There are no embeddings in {tmp_path}/_embeddings. Make some: python cli.py embed"
    ]
    with pytest.raises(DataError, match="no embeddings of any dataset by any backbone"):
        verify_lines(StorageRoot(tmp_path))


def test_whole_stores_are_whole(root: StorageRoot) -> None:
    lines, whole = verify_lines(root)
    assert whole
    assert lines == ["folder-a by pixels-112: whole (complete)",
                     "folder-b by pixels-112: whole (complete)"]  # fmt: skip
    stop_early(root)
    assert verify_lines(root, "folder-b")[0] == [
        "folder-b by pixels-112: whole (2 of 5 shards: embed it again to go on)"
    ]


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("patches/c/3/0/0", "shard 3 of patches"),
        ("cls/c/0/0", "cls|what lies beside patches"),
        ("masks/c/1/0", "masks|what lies beside patches"),
        ("labels/c/0", "labels|what lies beside patches"),
        ("zarr.json", "zarr.json|cannot be read|lack what describes"),
    ],
)
@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_damage_is_named_with_what_to_do(
    root: StorageRoot, file: str, what: str, damage: str
) -> None:
    path = root.embeddings("folder-b", "pixels-112") / file
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole if damage == "flip" else whole[: len(whole) // 2])
    lines, is_whole = verify_lines(root)
    assert not is_whole
    assert lines[0] == "folder-a by pixels-112: whole (complete)"
    assert "damaged" in lines[1]
    said = "\n".join(lines[2:])
    assert any(words in said for words in what.split("|")), said
    remedy = "embed --dataset folder-b --backbone pixels-112 --data FOLDER --force"
    assert remedy in said
    # only what was asked for is read
    assert verify_lines(root, "folder-a") == (lines[:1], True)


def test_a_lost_shard_is_named(root: StorageRoot) -> None:
    """Zarr reads it as zeros."""
    (root.embeddings("folder-a", "pixels-112") / "patches/c/1/0/0").unlink()
    (verdict, damage, other), whole = verify_lines(root)
    assert not whole
    assert "damaged" in verdict
    assert "shard 1 of patches" in damage
    assert "folder-b by pixels-112: whole" in other


def test_a_store_under_anothers_name_is_found(root: StorageRoot) -> None:
    path = root.embeddings("folder-b", "pixels-112")
    path.rename(path.with_name("pixels"))
    lines, whole = verify_lines(root, backbone="pixels")
    assert not whole
    assert "by backbone 'pixels-112', but 'folder-b' by 'pixels' was asked for" in lines[1]
