"""An exported model is worth what the row of its study says, however its tokens come about."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import here, refused
from qpmstudy.columns import SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.exported import CONTENT, EXTRAS
from qpmstudy.files import sha256
from storage import token_streams
from storage.evaluation import Evaluation, evaluate_images, evaluate_stored
from storage.export import export_study
from storage.folder_images import ImageFolder
from storage.layout import StorageRoot

SPLITS = ("test", "shift", "validation", "train")


@pytest.fixture(scope="module")
def model(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path, *_) = export_study(finished.root, finished.spec, tmp_path_factory.mktemp("models"))
    return path


def record_of(model: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((model / "model.json").read_text())
    return record


def changed(model: Path, folder: Path, **changes: Any) -> Path:
    """Return a copy of a model whose model.json says something else, its checksums right."""
    copy = folder / model.name
    shutil.copytree(model, copy)
    record = {k: v for k, v in (record_of(model) | changes).items() if v is not None}
    (copy / "model.json").write_text(json.dumps(record))
    files = [name for name in (*CONTENT, *EXTRAS) if (copy / name).exists()]
    lines = [f"{sha256(copy / name)}  {name}\n" for name in files]
    (copy / "SHA256SUMS").write_text("".join(lines))
    return copy


def quiet(phase: str, done: int, total: int) -> None:
    """Tell nobody."""


def on_the_way(model: Path, birds: ImageDataset, split: str = "test", **how: Any) -> Evaluation:
    return evaluate_images(model, ImageFolder(birds.root, **how), quiet, "cub2011", split)


@pytest.mark.parametrize("split", SPLITS)
def test_stored_embeddings_give_the_figures_of_the_row(
    split: str, model: Path, finished: Any
) -> None:
    """To the last bit, through several shards."""
    found = evaluate_stored(model, finished.root, split=split)
    record = record_of(model)
    assert found.metrics == record["metrics"][split]
    assert tuple(found.metrics) == (TRAINING_METRICS if split == "train" else SPLIT_METRICS)
    assert found.chosen_on == (split == "validation")
    (row,) = [
        row
        for row in finished.root.study("tiny").results.rows()
        if (row["trial"], row["seed"]) == (record["trial"], record["seed"])
    ]
    for name, value in found.metrics.items():
        assert value == row[f"{split}_{name}" if split in ("test", "shift") else name]


def test_every_shard_is_read_once(
    model: Path, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    whole = token_streams.EmbeddingStore.read_shard
    monkeypatch.setattr(token_streams, "BATCH", 3)
    monkeypatch.setattr(
        token_streams.EmbeddingStore,
        "read_shard",
        lambda store, shard: read.append(shard) or whole(store, shard),
    )
    found = evaluate_stored(model, finished.root, split="all")
    assert found.images > 16
    assert read == sorted(set(read))
    assert len(read) > 1


@pytest.mark.parametrize("split", ["test", "shift", "train", "all"])
def test_images_give_what_their_embeddings_gave(
    split: str, model: Path, finished: Any, birds: ImageDataset
) -> None:
    """But for products that round differently in other batches, and half precision behind them."""
    found = on_the_way(model, birds, split, batch=5)
    count = len(birds) if split == "all" else int((birds.splits == split).sum())
    assert found.images == count
    assert not found.chosen_on
    if split != "train":  # of which the stored figures are a part
        stored = evaluate_stored(model, finished.root, split=split)
        assert stored.images == count
        for name, value in found.metrics.items():
            assert value == pytest.approx(stored.metrics[name], abs=2e-3), name


def test_classes_go_by_their_names(model: Path, birds: ImageDataset, tmp_path: Path) -> None:
    """A folder of some of the classes, in another order, without masks."""
    kept = [label for label in range(4) if label != 1]
    for index, name in enumerate(birds.ids):
        if birds.labels[index] in kept:
            target = tmp_path / birds.class_names[birds.labels[index]] / Path(name).name
            target.parent.mkdir(exist_ok=True)
            shutil.copy(birds.image_path(index), target)
    found = evaluate_images(model, ImageFolder(tmp_path), quiet, "folder-some")
    subset = birds.only(np.flatnonzero(np.isin(birds.labels, kept)))
    assert found.images == len(subset)
    assert found.metrics["plausibility"] is None
    everything = on_the_way(model, birds, "all")
    assert everything.metrics["plausibility"] is not None
    assert found.metrics["accuracy"] is not None
    assert found.metrics["accuracy"] > 1.5 / 4  # as good as no class if labels were counted anew
    (tmp_path / birds.class_names[0]).rename(tmp_path / "dodo")
    with pytest.raises(DataError, match=r"1 of the 3 classes .* the first is 'dodo'.*model\.json"):
        evaluate_images(model, ImageFolder(tmp_path), quiet, "folder-some", "all")


def test_other_weights_and_backbones_are_refused(
    model: Path, finished: Any, birds: ImageDataset, tmp_path: Path
) -> None:
    backbone = record_of(model)["backbone"]
    other = changed(model, tmp_path / "a", backbone={**backbone, "weight_hash": "0" * 64})
    with pytest.raises(DataError, match=r"weights 0{12}\.\.\., but those behind the embeddings at"):
        evaluate_stored(other, finished.root)
    with pytest.raises(DataError, match=r"weights 0{12}\.\.\., but the weights here are"):
        on_the_way(other, birds)
    other = changed(model, tmp_path / "b", backbone={**backbone, "name": "pixels"})
    with pytest.raises(DataError, match=r"no embeddings at .*pixels\. Make them: .*pixels"):
        evaluate_stored(other, finished.root)
    root = StorageRoot(tmp_path / "root")
    theirs = finished.root.embeddings("birds", "patch-descriptor")
    shutil.copytree(theirs, root.embeddings("birds", "pixels"))
    with pytest.raises(DataError, match=r"by backbone 'patch-descriptor', but .*'pixels'"):
        evaluate_stored(other, root)


def test_splits_that_are_not_there(model: Path, finished: Any, birds: ImageDataset) -> None:
    for split in ("tests", "val"):
        known = "choose one of shift, test, train, validation, all"
        with pytest.raises(ConfigError, match=rf"'birds' has no split '{split}': {known}"):
            evaluate_stored(model, finished.root, split=split)
    with pytest.raises(ConfigError, match=r"no split 'validation' \(validation is a part of"):
        on_the_way(model, birds, "validation")


def test_an_older_model_says_what_it_lacks(model: Path, finished: Any, tmp_path: Path) -> None:
    older = changed(model, tmp_path, sid_k=None, search_split=None)
    with pytest.raises(DataError, match=r"does not say sid_k, search_split, .*export the model"):
        evaluate_stored(older, finished.root)


def test_the_command(model: Path, finished: Any, birds: ImageDataset, tmp_path: Path) -> None:
    root = ("--root", finished.root.path)
    said = here("evaluate", model, *root)
    assert said.code == 0, said.err
    metrics = record_of(model)["metrics"]
    assert said.out.startswith(
        f"{model} on the 12 images of the test split of birds\n  embeddings at "
    )
    accuracy = 100 * metrics["test"]["accuracy"]
    assert f"  accuracy                 {accuracy:5.1f}\n" in said.out
    assert "optimistic" not in said.out
    assert "All of them count" not in said.out
    assert "optimistic" in here("evaluate", model, "--split", "validation", *root).out
    answer = json.loads(here("evaluate", model, "--split", "shift", "--json", *root).out)
    assert answer["metrics"] == metrics["shift"]
    assert (answer["dataset"], answer["split"], answer["images"]) == ("birds", "shift", 4)

    copy = tmp_path / "birds"
    shutil.copytree(birds.root, copy)
    tested = int(np.flatnonzero(birds.splits == "test")[2])
    (copy / "images" / birds.ids[tested]).write_bytes(b"")
    images = (
        *("evaluate", model, "--dataset", "cub2011", "--data", copy, "--split", "test"),
        *root,
    )
    refused(here(*images), 1, "1 of the 12 images", birds.ids[tested], "--skip-broken")
    rest = here(*images, "--skip-broken", "--json")
    assert rest.code == 0, rest.err
    answer = json.loads(rest.out)
    assert (answer["images"], list(answer["left_out"])) == (11, [birds.ids[tested]])
    assert not list(tmp_path.rglob("zarr.json"))
    refused(here("evaluate", model, "--batch", 3, *root), 2, "--batch is about images", "--data")
    refused(here("evaluate", model, "--dataset", "cub2012", *root), 2, "Unknown dataset")
    refused(here("evaluate", tmp_path, *root), 1, "is no exported model")
