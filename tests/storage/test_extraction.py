"""Extraction: the same store whatever happens on the way, and nothing in it that is not true."""

import fcntl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from content import content
from dataset_layouts import make_aircraft, make_cars, make_cub, make_folder
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.datasets import ImageDataset, open_dataset
from qpmstudy.errors import DataError, StoreError
from qpmstudy.masks import mask_to_grid
from storage import loading, new_store
from storage.embeddings import EmbeddingStore, open_store
from storage.extraction import extract
from storage.half import half

Make = Callable[..., Any]


def patches(store: EmbeddingStore) -> np.ndarray:
    return np.concatenate([store.read_shard(shard) for shard in range(store.shards)])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cub2011", make_cub),
        ("cub2011-cropped", make_cub),
        ("stanford-cars", make_cars),
        ("stanford-cars-cropped", make_cars),
        ("fgvc-aircraft", make_aircraft),
        ("fgvc-aircraft-cropped", make_aircraft),
        ("folder-own", make_folder),
    ],
)
def test_every_layout_is_stored_as_it_is_read(name: str, make: Make, tmp_path: Path) -> None:
    dataset = open_dataset(name, make(tmp_path / "data"))
    backbone = open_backbone("pixels-112")
    store = extract(dataset, backbone, tmp_path / "s", batch=5)
    light = store.read_without_patches()
    found = patches(store)
    for index in range(len(dataset)):
        tokens, cls = backbone.embed(backbone.preprocess(dataset.image(index))[None])
        np.testing.assert_array_equal(found[index], tokens[0].half().numpy())
        np.testing.assert_array_equal(light.cls[index], cls[0].half().numpy())
        mask = dataset.mask(index)
        assert (mask is None) == (light.masks is None)
        if mask is not None and light.masks is not None:
            expected = mask_to_grid(mask, backbone.grid, backbone.preprocessing)
            np.testing.assert_array_equal(light.masks[index], expected)
            assert expected.any()
    np.testing.assert_array_equal(light.labels, dataset.labels)
    assert light.splits.tolist() == dataset.splits.tolist()
    assert light.class_names == dataset.class_names
    # whoever draws over an image later finds it, a part of a picture included
    assert light.ids == dataset.ids
    assert Path(light.image_root) == dataset.image_root.resolve()


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_make_the_same_store(
    workers: int, pictures: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_store, "CHUNK_BYTES", 2 * 196 * 192 * 2)
    monkeypatch.setattr(new_store, "SHARD_BYTES", 4 * 196 * 192 * 2)
    backbone = open_backbone("pixels-112")
    told: list[tuple[int, int]] = []
    extract(pictures, backbone, tmp_path / "alone", workers=0)
    extract(
        pictures,
        backbone,
        tmp_path / "together",
        progress=lambda *done: told.append(done),
        batch=2,
        workers=workers,
    )
    assert content(tmp_path / "alone") == content(tmp_path / "together")
    assert told == [(done, 11) for done in (0, 2, 4, 6, 8, 10, 11)]


@pytest.mark.parametrize(
    ("cpus", "images", "workers"),
    [(1, 10**6, 0), (2, 10**6, 0), (4, 10**6, 3), (8, 100, 0), (8, 512, 7), (96, 10**6, 16)],
)
def test_processes_decode_where_there_are_cpus_to_spare(
    cpus: int, images: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "cpus", lambda: cpus)
    assert loading.default_workers(images) == workers


def test_the_last_shard_may_be_partial(
    pictures: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_store, "CHUNK_BYTES", 2 * 196 * 192 * 2)
    monkeypatch.setattr(new_store, "SHARD_BYTES", 4 * 196 * 192 * 2)
    store = extract(pictures, open_backbone("pixels-112"), tmp_path / "s")
    assert [len(store.read_shard(shard)) for shard in range(store.shards)] == [4, 4, 3]


def test_what_a_killed_writer_left_is_removed(
    pictures: ImageDataset, toy: Make, small_shards: None, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="the power went out"):
        extract(pictures, toy(fail_after=5), tmp_path / "s")
    half_written = tmp_path / "s" / "patches" / "c" / "2" / "0" / "0.0123abcd.partial"
    half_written.parent.mkdir(parents=True)
    half_written.write_bytes(b"half a shard")
    (tmp_path / "s" / "zarr.0123abcd.partial").write_text("{")
    extract(pictures, toy(), tmp_path / "s")
    extract(pictures, toy(), tmp_path / "whole")
    assert content(tmp_path / "s") == content(tmp_path / "whole")


def test_a_record_that_was_half_removed_goes(
    pictures: ImageDataset, toy: Make, small_shards: None, tmp_path: Path
) -> None:
    """Killed after the store was complete, with the record's metadata gone and its rows there."""
    extract(pictures, toy(), tmp_path / "s")
    expected = content(tmp_path / "s")
    row = tmp_path / "s" / "written" / "c" / "1" / "0" / "0"
    row.parent.mkdir(parents=True)
    row.write_bytes(bytes(96))
    extract(pictures, toy(), tmp_path / "s")
    assert content(tmp_path / "s") == expected


def test_one_process_writes_a_store(pictures: ImageDataset, toy: Make, tmp_path: Path) -> None:
    with (tmp_path / ".s.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"Another process is writing .*/s: wait for it"):
            extract(pictures, toy(), tmp_path / "s")
    assert extract(pictures, toy(), tmp_path / "s").shards == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (65504.0, ""),
        (-65504.0, ""),
        (65505.0, r"'toy' gives the image b/2.png a token with the value 6.55.*ends at 65504"),
        (-1e30, "value 1e[+]30, but stores hold float16.*leave out norm=no"),
        (float("inf"), "b/2.png a token that is inf: its weights are damaged"),
        (float("nan"), "b/2.png a token that is nan"),
    ],
)
def test_values_beyond_half_precision_name_the_image(value: float, message: str) -> None:
    tokens = torch.randn(3, 4, 5)
    tokens[1, 3, 2] = value
    ids = ("a/1.png", "b/2.png", "c/3.png")
    if message:
        with pytest.raises(DataError, match=message):
            half(tokens, ids, "toy")
    else:
        assert half(tokens, ids, "toy")[1, 3, 2] == value


def test_an_overflow_leaves_no_store(pictures: ImageDataset, toy: Make, tmp_path: Path) -> None:
    backbone = toy()
    quiet = backbone.embed

    def loud(images: Tensor) -> tuple[Tensor, Tensor]:
        tokens, cls = quiet(images)
        return tokens, cls * 1e9

    backbone.embed = loud
    with pytest.raises(DataError, match=r"image x/1\.png a token with the value"):
        extract(pictures, backbone, tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("token_bytes", [24, 49152, 150528, 393216, 786432, 10**8])
def test_shards_are_whole_batches_of_about_the_same_size(token_bytes: int) -> None:
    chunk, shard = new_store.sizes(10**6, token_bytes)
    assert shard % chunk == 0
    assert chunk * token_bytes <= new_store.CHUNK_BYTES or chunk == 1
    assert shard * token_bytes <= new_store.SHARD_BYTES or shard == 1
    if token_bytes <= 10**6:
        assert shard % new_store.BATCH == 0
        assert shard * token_bytes > new_store.SHARD_BYTES / 3
    few = new_store.sizes(3, token_bytes)[1]
    assert few <= max(chunk, new_store.BATCH)


def test_a_damaged_attribute_is_found(pictures: ImageDataset, toy: Make, tmp_path: Path) -> None:
    extract(pictures, toy(), tmp_path / "s")
    file = tmp_path / "s" / "zarr.json"
    file.write_text(file.read_text().replace('"class_names"', '"klass_names"'))
    with pytest.raises(DataError, match=r"attributes in zarr\.json are not those .* --force"):
        open_store(tmp_path / "s", "cub2011", "toy")


def test_a_store_tells_images_that_changed_meanwhile(
    pictures: ImageDataset, toy: Make, small_shards: None, tmp_path: Path
) -> None:
    """A begun store of other images is begun anew, not gone on with."""
    with pytest.raises(RuntimeError, match="the power went out"):
        extract(pictures, toy(fail_after=5), tmp_path / "s")
    splits = pictures.splits.copy()
    splits[0] = "test"
    backbone = toy()
    extract(replace(pictures, splits=splits), backbone, tmp_path / "s")
    assert backbone.embedded == 11
