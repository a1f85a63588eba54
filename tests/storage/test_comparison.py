"""Two models on the same images: the same figures as apart, paired, and where they differ."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command import here, refused
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import DataError
from qpmstudy.exported import load_model
from storage import token_streams
from storage.comparison import compare, in_common
from storage.comparison_report import TILE_SIDE
from storage.evaluation import evaluate_stored
from storage.export import export_study
from storage.model_images import stored_images


@pytest.fixture(scope="module")
def pair(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("pair")
    first, second = export_study(finished.root, finished.spec, out, ("0", "1"))
    return first, second


def compared(pair: tuple[Path, Path], finished: Any, *more: object) -> dict[str, Any]:
    found = here("compare", *pair, "--root", finished.root.path, "--json", *more)
    assert found.code == 0, found.err
    record: dict[str, Any] = json.loads(found.out)
    return record


def test_means_are_those_of_each_model_alone(pair: tuple[Path, Path], finished: Any) -> None:
    found = compared(pair, finished)
    alone = [evaluate_stored(model, finished.root).metrics for model in pair]
    for name, metric in found["metrics"].items():
        assert metric["first"] == pytest.approx(alone[0][name], abs=1e-6)
        assert metric["second"] == pytest.approx(alone[1][name], abs=1e-6)
        gain = metric["difference"]
        assert gain["low"] <= gain["value"] <= gain["high"]
        assert gain["value"] == pytest.approx(alone[1][name] - alone[0][name], abs=1e-6)
    assert found["images"] == 12
    counts = [found["both_right"], found["neither_right"]]
    counts += [found["right"]["only_first"], found["right"]["only_second"]]
    assert sum(counts) == 12
    assert found["chosen_on"] == []
    assert compared(pair, finished) == found
    other = compared(pair, finished, "--seed", 1)
    assert other["metrics"]["plausibility"] != found["metrics"]["plausibility"]


def test_a_model_is_as_good_as_itself(pair: tuple[Path, Path], finished: Any) -> None:
    found = compared((pair[0], pair[0]), finished)
    for metric in found["metrics"].values():
        assert metric["difference"] == {"value": 0, "low": 0, "high": 0}
    assert found["right"] == {"only_first": 0, "only_second": 0, "p": 1}
    assert found["disagreements"] == []
    text = here("compare", pair[0], pair[0], "--root", finished.root.path).out
    assert "they differ on 0 of 12 images" in text


def test_models_on_one_backbone_read_their_tokens_once(
    pair: tuple[Path, Path], finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    whole = token_streams.EmbeddingStore.read_shard
    monkeypatch.setattr(
        token_streams.EmbeddingStore,
        "read_shard",
        lambda store, shard: read.append(shard) or whole(store, shard),
    )
    compared(pair, finished, "--split", "all")
    assert len(read) == len(set(read)) > 1


def test_disagreements_are_said_listed_and_drawn(
    pair: tuple[Path, Path], finished: Any, birds: ImageDataset, tmp_path: Path
) -> None:
    found = compared(pair, finished, "--split", "all", "--out", tmp_path)
    differ = found["disagreements"]
    assert differ
    assert json.loads((tmp_path / "comparison.json").read_text()) == found
    models = [load_model(path) for path in pair]
    one_right = [one["first"]["right"] or one["second"]["right"] for one in differ]
    assert one_right == sorted(one_right, reverse=True)
    for one in differ[:3]:
        place = birds.ids.index(one["image"])
        assert one["true"] == birds.class_names[birds.labels[place]]
        for model, said in zip(models, (one["first"], one["second"]), strict=True):
            prediction = model.predict(birds.image(place))
            label = prediction.top(1)[0]
            assert said["name"] == model.class_names[label]
            assert said["probability"] == pytest.approx(
                float(prediction.probabilities[label]), abs=1e-3
            )
            assert said["right"] == (said["name"] == one["true"])
    with (tmp_path / "disagreements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [one["image"] for one in differ]
    assert [row["a_class"] for row in rows] == [one["first"]["name"] for one in differ]
    with Image.open(tmp_path / "disagreements.png") as picture:
        assert picture.height > 2 * min(len(differ), 8) * TILE_SIDE
        assert np.asarray(picture).std() > 10
    text = here("compare", *pair, "--root", finished.root.path, "--split", "all").out
    assert f"they differ on {len(differ)} of {found['images']} images" in text
    assert f"  {differ[0]['image']} ({differ[0]['true']}): A {differ[0]['first']['name']}" in text


def test_a_folder_of_images_gives_what_its_embeddings_gave(
    pair: tuple[Path, Path], finished: Any, birds: ImageDataset, tmp_path: Path
) -> None:
    stored = compared(pair, finished)
    folder = compared(
        pair,
        finished,
        "--data",
        birds.root,
        "--dataset",
        "cub2011",
        "--split",
        "test",
        "--out",
        tmp_path,
    )
    assert folder["images"] == stored["images"]
    for name, metric in folder["metrics"].items():
        assert metric["first"] == pytest.approx(stored["metrics"][name]["first"], abs=2e-3)
    assert (tmp_path / "disagreements.csv").is_file()


def test_a_folder_of_images_is_checked_once(
    pair: tuple[Path, Path], finished: Any, birds: ImageDataset
) -> None:
    """Though each of the models might be of another dataset, with another layout."""
    where = ("--data", birds.root, "--dataset", "cub2011", "--split", "test")
    found = here("compare", *pair, "--root", finished.root.path, *where)
    assert found.code == 0, found.err
    assert found.out.count(f"checking {birds.root}") == 1
    assert "McNemar's exact test of whether both are right equally often: p = " in found.out


def test_images_that_only_one_has_are_left_out(pair: tuple[Path, Path], finished: Any) -> None:
    """And of images that a configuration was chosen on it is told."""
    images = [stored_images(path, finished.root, split="validation") for path in pair]
    first, second, left_out = in_common(images[0], images[1].only(images[1].ids[2:]))
    assert len(first) == len(second)
    assert left_out >= 2
    found = compare(first, second, left_out)
    assert found.chosen_on == [*pair]
    assert found.left_out == left_out


def test_nothing_in_common_is_refused(pair: tuple[Path, Path], finished: Any) -> None:
    images = stored_images(pair[0], finished.root)
    shift = stored_images(pair[1], finished.root, split="shift")
    with pytest.raises(DataError, match=r"have none of the 12 images of the test split"):
        in_common(images, shift)


def test_what_is_refused(pair: tuple[Path, Path], finished: Any, tmp_path: Path) -> None:
    where = ("--root", finished.root.path)
    refused(here("compare", *pair, *where, "--split", "dawn"), 2, "has no split 'dawn'")
    refused(here("compare", *pair, *where, "--batch", 3), 2, "--batch is about images")
    refused(here("compare", *pair, *where, "--weights-b", "x"), 2, "--weights-b is about images")
    refused(here("compare", pair[0], tmp_path, *where), 1, "is no exported model")
    refused(here("compare", *pair, "--root", tmp_path), 1, "There are no embeddings")
