"""The embedding store: what the backbone says, whole, resumable, and checked when read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from qpmstudy.backbones.opening import open_backbone
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import DataError
from qpmstudy.masks import mask_to_grid
from storage.embeddings import EmbeddingStore, is_complete, open_store
from storage.extraction import extract
from storage.layout import StorageRoot
from storage.new_store import fingerprint

Make = Callable[..., Any]


def arrays(store: EmbeddingStore) -> list[np.ndarray]:
    light = store.read_without_patches()
    assert light.masks is not None
    patches = [store.read_shard(index) for index in range(store.shards)]
    return [np.concatenate(patches), light.cls, light.labels, light.splits, light.masks]


def test_a_store_holds_what_the_backbone_says(birds: ImageDataset, birds_root: StorageRoot) -> None:
    backbone = open_backbone("patch-descriptor")
    path = birds_root.embeddings("birds", "patch-descriptor")
    store = open_store(path, "birds", "patch-descriptor")
    assert store.shards == 3
    light = store.read_without_patches()
    patches, cls, labels, splits, masks = arrays(store)
    assert patches.dtype == np.float16
    for index in (0, 7, 15, 16, 39):
        tokens, vector = backbone.embed(backbone.preprocess(birds.image(index))[None])
        np.testing.assert_array_equal(patches[index], tokens[0].half().numpy())
        np.testing.assert_array_equal(cls[index], vector[0].half().numpy())
        mask = birds.mask(index)
        assert mask is not None
        expected = mask_to_grid(mask, backbone.grid, backbone.preprocessing)
        np.testing.assert_array_equal(masks[index], expected)
    np.testing.assert_array_equal(labels, birds.labels)
    np.testing.assert_array_equal(splits, birds.splits)
    assert light.ids == birds.ids
    assert light.class_names == birds.class_names
    assert light.held_out_splits() == ("test", "shift")
    assert light.weight_hash == backbone.weight_hash
    assert light.fingerprint == fingerprint(birds, backbone)
    assert Path(light.image_root, light.ids[0]).is_file()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("after", [0, 1, 2, 5, 10])
def test_an_interrupted_extraction_goes_on(
    pictures: ImageDataset, toy: Make, tmp_path: Path, after: int
) -> None:
    whole = extract(pictures, toy(), tmp_path / "whole")
    assert whole.shards == 6
    with pytest.raises(RuntimeError, match="the power went out"):
        extract(pictures, toy(fail_after=after), tmp_path / "broken")
    assert not is_complete(tmp_path / "broken")
    with pytest.raises(DataError, match=r"incomplete. Finish them: .*embed --dataset cub2011"):
        open_store(tmp_path / "broken", "cub2011", "toy")
    backbone = toy()
    told: list[tuple[int, int]] = []
    resumed = extract(
        pictures, backbone, tmp_path / "broken", progress=lambda *done: told.append(done)
    )
    assert backbone.embedded == 11 - after // 2 * 2  # finished shards are not computed again
    assert told[-1] == (11, 11)
    for one, other in zip(arrays(whole), arrays(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.attributes == resumed.attributes


@pytest.mark.usefixtures("small_shards")
def test_a_finished_store_is_not_computed_again(
    pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    extract(pictures, toy(), tmp_path / "s")
    backbone = toy()
    extract(pictures, backbone, tmp_path / "s")
    assert backbone.embedded == 0


def test_a_store_killed_before_its_first_attribute_is_begun_anew(
    pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    zarr.open_group(tmp_path / "s", mode="w", zarr_format=3)
    assert extract(pictures, toy(), tmp_path / "s").shards == 1


def test_changed_images_are_refused(pictures: ImageDataset, toy: Make, tmp_path: Path) -> None:
    before = extract(pictures, toy(), tmp_path / "s").fingerprint
    first, second = pictures.image_path(0), pictures.image_path(1)
    first.write_bytes(second.read_bytes())
    with pytest.raises(DataError, match=r"made from other images.*add --force"):
        extract(pictures, toy(), tmp_path / "s")
    assert open_store(tmp_path / "s", "cub2011", "toy").fingerprint == before


def test_the_fingerprint_covers_content_and_not_places(
    pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    backbone, moved = toy(), tmp_path / "moved"
    before = fingerprint(pictures, backbone)
    pictures.root.rename(moved)
    pictures = replace(pictures, root=moved)
    assert fingerprint(pictures, backbone) == before
    assert fingerprint(replace(pictures, name="other"), backbone) == before
    labels = pictures.labels.copy()
    labels[0] = (labels[0] + 1) % 3
    splits = pictures.splits.copy()
    splits[0] = "test"
    masks = pictures.mask_path(1), pictures.mask_path(2)
    others = [
        fingerprint(replace(pictures, labels=labels), backbone),
        fingerprint(replace(pictures, splits=splits), backbone),
    ]
    backbone.weight_hash = "1" * 64
    others.append(fingerprint(pictures, backbone))
    backbone = toy()
    backbone.preprocessing["crop"] = 4
    others.append(fingerprint(pictures, backbone))
    masks[0].write_bytes(masks[1].read_bytes())
    others.append(fingerprint(pictures, toy()))
    assert len({before, *others}) == 6


def test_a_dataset_without_masks(pictures: ImageDataset, toy: Make, tmp_path: Path) -> None:
    (pictures.root / "segmentations").rename(tmp_path / "away")
    store = extract(pictures, toy(), tmp_path / "s")
    assert store.read_without_patches().masks is None


def test_a_missing_store_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no embeddings at .*: python cli.py embed --dataset birds --backbone toy$"
    ):
        open_store(tmp_path / "none", "birds", "toy")
    assert not is_complete(tmp_path / "none")


def test_another_dataset_is_refused(pictures: ImageDataset, toy: Make, tmp_path: Path) -> None:
    extract(pictures, toy(), tmp_path / "s")
    for dataset, backbone in (("birds", "toy"), ("cub2011", "patch-descriptor")):
        with pytest.raises(
            DataError, match=rf"'cub2011' by backbone 'toy', but '{dataset}' by '{backbone}'"
        ):
            open_store(tmp_path / "s", dataset, backbone)


def _damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "remove":
        path.unlink()
    elif kind == "flip":
        content[len(content) // 3] ^= 0x10
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if kind == "truncate" else b"")


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("kind", ["remove", "truncate", "empty", "flip"])
def test_no_damage_is_read_as_embeddings(
    pictures: ImageDataset, toy: Make, tmp_path: Path, kind: str
) -> None:
    """A lost chunk especially: Zarr reads it as zeros."""
    path = tmp_path / "cub2011" / "toy"
    store = extract(pictures, toy(), path)
    before = arrays(store)
    files = [file for file in path.rglob("*") if file.is_file()]
    assert len(files) > 20
    for file in files:
        whole = file.read_bytes()
        _damage(file, kind)
        try:
            after = arrays(open_store(path, "cub2011", "toy"))
        except DataError as error:
            remedy = "python cli.py embed --dataset cub2011 --backbone toy"
            assert remedy in str(error)  # noqa: PT017  # either outcome is right
        else:  # what no token depends on: a byte of a comment, the index behind a shard's tokens
            assert kind == "flip" or (kind == "truncate" and "patches" in file.parts), file
            for one, other in zip(before, after, strict=True):
                np.testing.assert_array_equal(one, other)
        file.write_bytes(whole)


def test_damage_that_hides_completeness_is_an_error(
    pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    """An unreadable store is neither complete nor absent: it is not overwritten unasked."""
    extract(pictures, toy(), tmp_path / "s")
    (tmp_path / "s" / "zarr.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        is_complete(tmp_path / "s")
    with pytest.raises(DataError, match="cannot be read"):
        extract(pictures, toy(), tmp_path / "s")


def test_gathered_tokens_match_across_shards(birds_root: StorageRoot) -> None:
    store = open_store(
        birds_root.embeddings("birds", "patch-descriptor"), "birds", "patch-descriptor"
    )
    shards = tuple(store.read_shard(index) for index in range(store.shards))
    embeddings = replace(store.read_without_patches(), patches=shards)
    index = np.array([39, 0, 16, 15, 16])
    expected = torch.from_numpy(np.concatenate(shards)[index])
    assert torch.equal(torch.from_numpy(embeddings.tokens(index)), expected)
