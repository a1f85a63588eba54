"""Global explanations of an exported model, through the command line and behind it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from command import here, refused
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import ConfigError
from qpmstudy.exported import load_model, read_model
from qpmstudy.metrics.plausibility import weighted_maps
from storage.dense_model import Dense, dense_model
from storage.gallery import Gallery, gallery
from storage.global_explanations import (
    explain_failures,
    mistakes_text,
    numbered_class,
    numbered_feature,
)
from storage.layout import StorageRoot
from storage.learned_from import LearnedFrom, learned_from
from storage.model_images import stored_images


@pytest.fixture(scope="module")
def tested(model: Path, finished: Any) -> Gallery:
    return gallery(stored_images(model, finished.root))


@pytest.fixture(scope="module")
def trained(model: Path, finished: Any) -> Gallery:
    return gallery(stored_images(model, finished.root, split="train"))


def record_of(model: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((model / "model.json").read_text())
    return record


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["class", "2"], "class-2"),
        (["class", "1", "3", "--count", "1"], "class-1-3"),
        (["feature", None, "--count", "2", "--split", "all"], None),
    ],
)
def test_each_kind_is_a_picture_and_a_page(
    model: Path, finished: Any, tmp_path: Path, arguments: list[str | None], name: str | None
) -> None:
    number = str(record_of(model)["selected"][2])
    said = [number if word is None else word for word in arguments]
    where = ("--root", finished.root.path, "--out", tmp_path / "out")
    found = here("explain", model, *said, *where)
    assert found.code == 0, found.err
    stem = name or f"feature-{number}"
    written = [tmp_path / "out" / f"{stem}.{kind}" for kind in ("png", "html")]
    assert found.out == "".join(f"wrote {path}\n" for path in written)
    with Image.open(written[0]) as picture:
        assert picture.width == 1200
    page = written[1].read_text(encoding="utf-8")
    assert "http:" not in page
    assert "https:" not in page


def test_a_gallery_sees_what_the_model_says(
    tested: Gallery, model: Path, birds: ImageDataset
) -> None:
    loaded = load_model(model)
    first, second = tested.examples([7, 2])
    for position, example in ((7, first), (2, second)):
        shown = example.shown
        assert shown.name == tested.images.ids[position]
        assert shown.label == tested.seen.labels[position]
        own = loaded.predict(birds.image_root / shown.name)
        torch.testing.assert_close(
            shown.drawing.prediction.logits, own.logits, rtol=1e-3, atol=1e-3
        )
        np.testing.assert_allclose(
            tested.seen.probabilities[position], own.probabilities, atol=1e-3
        )
        np.testing.assert_allclose(
            tested.seen.strength[position], shown.drawing.strength, atol=1e-3
        )


def test_the_dense_model_is_the_studys(tested: Gallery, model: Path, finished: Any) -> None:
    """Its evidence, GradCAM of a linear head, averages to the logit less the bias."""
    record = record_of(model)
    dense = dense_model(finished.root, record).classifier
    assert dense is not None
    (row,) = [
        row
        for row in finished.root.study("tiny").results.rows()
        if (row["trial"], row["seed"]) == (record["trial"], record["seed"])
    ]
    own = finished.root.artifacts.read("dense", row["key.dense"]).classifier()
    torch.testing.assert_close(dense.weight, own.weight)
    (example,) = tested.examples([3])
    with torch.inference_mode():
        output = dense(example.tokens[None])
        label = output.logits.argmax(1)
        evidence = weighted_maps(output.feature_maps, dense.weight, label)[0].mean()
        bias = dense.head.bias
        assert isinstance(bias, torch.Tensor)
        torch.testing.assert_close(evidence + bias[label[0]], output.logits[0, label[0]])


def test_a_dense_model_that_is_not_there_says_why(
    model: Path, finished: Any, tmp_path: Path
) -> None:
    found = dense_model(StorageRoot(tmp_path), record_of(model))
    assert found.classifier is None
    assert "it is not in" in found.missing
    assert "--root of the study 'tiny'" in found.missing
    older = dense_model(finished.root, {"configuration": {"no.such": 1}})
    assert "from another version" in older.missing


def test_mistakes_are_all_there(
    model: Path, finished: Any, tested: Gallery, trained: Gallery, tmp_path: Path
) -> None:
    wrong = tested.seen.failures()
    assert wrong, "the tiny model makes mistakes"
    assert set(wrong) == set(np.flatnonzero(tested.seen.predicted != tested.seen.labels).tolist())
    learned = LearnedFrom(trained)
    page = explain_failures(
        tested, learned, dense_model(finished.root, record_of(model)), len(wrong)
    )
    confused, *sections = page.sections
    assert len(sections) == len(wrong)
    counts = [int(re.search(r": (\d+) of its 3 images$", line)[1]) for line in confused.words]  # type: ignore[index]  # fails if there is none
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == len(wrong)
    assert page.words[1].startswith("These are all.")
    colours: dict[str, set[object]] = {}
    for section in sections:
        for colour, words in section.legend:
            colours.setdefault(words.partition(":")[0], set()).add(colour)
    assert len(colours) > 1
    assert all(len(one) == 1 for one in colours.values())
    for section in sections:
        titles = [tile.title for tile in section.strips[0].tiles]
        assert titles[:4] == ["input", "predicted", "true", "dense model, GradCAM"]
        assert titles[4] == "nearest training image of the predicted class"
    nothing = Dense(None, "nobody kept it."), LearnedFrom(None, "nor them.")
    without = explain_failures(tested, nothing[1], nothing[0], 1)
    assert without.words[2:] == (
        "The dense model's GradCAM is left out: nobody kept it.",
        "The nearest training image is left out: nor them.",
    )
    assert len(without.sections) == 2
    perfect = Gallery(
        tested.images, replace(tested.seen, probabilities=np.eye(4)[tested.seen.labels])
    )
    page = explain_failures(perfect, learned, nothing[0], 1)
    assert page.sections == ()
    assert "recognises all of the 12 images of the test split of birds: no mistake" in page.words[0]
    assert mistakes_text(perfect) == page.words[0]
    found = here("explain", model, "failures", "--root", finished.root.path, "--out", tmp_path)
    assert found.code == 0, found.err
    assert "GradCAM is left out" not in (tmp_path / "failures.html").read_text(encoding="utf-8")


def test_images_in_a_folder_do_as_well(model: Path, birds: ImageDataset, tmp_path: Path) -> None:
    where = ("--dataset", "cub2011", "--data", birds.root, "--root", tmp_path / "nowhere")
    found = here("explain", model, "failures", "--count", 1, *where, "--out", tmp_path)
    assert found.code == 0, found.err
    page = (tmp_path / "failures.html").read_text(encoding="utf-8").replace("<wbr>", "")
    assert "The dense model&#x27;s GradCAM is left out: it is not in" in page
    assert "The nearest training image is left out: There are no embeddings at" in page
    whole = f"the {len(birds)} images of {birds.root}"
    assert f" of {whole} are taken for another class." in found.out
    assert f"embedding {birds.root}: {len(birds)} images in " in found.err
    assert found.err.count("embedding ") == 1


def test_the_nearest_are_those_that_the_model_learned_from(
    model: Path, finished: Any, birds: ImageDataset
) -> None:
    """Whatever folder the mistakes are in."""
    learned = learned_from(model, finished.root).gallery
    assert learned is not None
    trained = stored_images(model, finished.root, split="train")
    assert learned.images.ids == trained.ids
    assert len(trained.ids) < (birds.splits == "train").sum()  # without what was held out


def test_the_natural_order_of_words_is_told(model: Path) -> None:
    meant = f"MODEL comes first: python cli.py explain {model} class 2"
    refused(here("explain", "class", model, "2"), 2, meant)
    refused(here("explain", model, "clas", "2"), 2, "No such command 'clas'")


def test_classes_and_features_go_by_name_or_number(model: Path) -> None:
    stored = read_model(model)
    names = stored.class_names
    assert [numbered_class(stored, name) for name in names] == [0, 1, 2, 3]
    assert [numbered_class(stored, str(number)) for number in (1, 4)] == [0, 3]
    for number in ("0", "5"):
        with pytest.raises(ConfigError, match=rf"has 4 classes, .* no number {number}"):
            numbered_class(stored, number)
    assert [numbered_feature(stored, number) for number in stored.selected] == [*range(5)]


def test_what_cannot_be_explained_is_said(
    model: Path, finished: Any, tmp_path: Path, birds: ImageDataset
) -> None:
    out = tmp_path / "out"
    explain, root = ("explain", model), ("--root", finished.root.path, "--out", out)
    name = record_of(model)["class_names"][0]
    refused(here(*explain, "class", name + "x", *root), 2, f"called '{name}x'", name)
    refused(here(*explain, "class", "1", name, *root), 2, "cannot be set against itself")
    refused(here(*explain, "feature", 99, *root), 2, "Feature 99 is none of the 5", "selected: ")
    refused(here(*explain, "class", "1", "--split", "tset", *root), 2, "no split 'tset'")
    refused(here(*explain, "class", "1", "--weights", "x.pth", *root), 2, "give --data")
    nowhere = ("--root", tmp_path / "nowhere", "--out", out)
    refused(here(*explain, "class", "1", *nowhere), 1, "no embeddings at", "--data FOLDER")
    refused(here("explain", tmp_path, "overview", "--out", out), 1, "is no exported model")
    absent = birds.root.parent / "aside"
    birds.root.rename(absent)
    try:
        moved = here(*explain, "class", "1", *root)
    finally:
        absent.rename(birds.root)
    refused(moved, 1, "does not exist", "say where: --data FOLDER")
    assert not out.exists()


def test_a_class_without_images_is_said(model: Path, birds: ImageDataset, tmp_path: Path) -> None:
    kept = birds.class_names[0]
    for index in np.flatnonzero(birds.labels == 0).tolist():
        target = tmp_path / "data" / kept / Path(birds.ids[index]).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(birds.image_path(index), target)
    where = ("--dataset", "folder-one", "--data", tmp_path / "data", "--split", "all")
    out = ("--out", tmp_path / "out")
    refused(
        here("explain", model, "class", birds.class_names[1], *where, *out),
        1,
        f"No image of the class '{birds.class_names[1]}' is among the ",
    )
