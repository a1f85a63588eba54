"""Explanations as files and as the sheet of a trial."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qpmstudy.embeddings import Embeddings
from qpmstudy.explain import overlay_sheet, write_explanation
from qpmstudy.explain.contrast import contrast
from qpmstudy.explain.drawing import SIDE, Drawing
from qpmstudy.explain.overlays import colour
from qpmstudy.explain.sheet import SIDE as TILE
from qpmstudy.inference import InterpretableModel
from qpmstudy.stages import StageOutput


def test_an_explanation_is_files_that_add_up(
    small_model: InterpretableModel, picture: Image.Image, tmp_path: Path
) -> None:
    prediction = small_model.predict(picture)
    written = write_explanation(small_model, picture, prediction, tmp_path / "out")
    label = prediction.top(1)[0]
    numbers = [small_model.selected[feature] for feature in prediction.used(label)]
    assert {path.name for path in written} == {
        "combined.png",
        "overview.png",
        "features.png",
        "explanation.json",
        *(f"feature-{number}.png" for number in numbers),
    }
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.mode == "RGB"
                sheets = ("overview.png", "features.png")
                assert path.name in sheets or image.size == (SIDE, SIDE)
    facts = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert facts["class"] == small_model.class_names[label]
    assert facts["logit"] == pytest.approx(float(prediction.logits[label]))
    assert facts["probability"] == pytest.approx(float(prediction.probabilities[label]))
    assert [one["feature"] for one in facts["features"]] == numbers
    total = sum(one["contribution"] for one in facts["features"])
    assert total == pytest.approx(facts["logit"], abs=1e-4)
    for one in facts["features"]:
        assert one["colour"] == "#{:02x}{:02x}{:02x}".format(
            *colour(small_model.selected.index(one["feature"]))  # its own on all pages
        )
        assert facts["class"] in one["classes"]
        column = small_model.selected.index(one["feature"])
        row, place = one["strongest_patch"]
        assert int(prediction.feature_maps[:, column].argmax()) == row * 16 + place


def test_a_bias_is_part_of_the_sum(
    biased_model: InterpretableModel, picture: Image.Image, tmp_path: Path
) -> None:
    prediction = biased_model.predict(picture)
    write_explanation(biased_model, picture, prediction, tmp_path)
    facts = json.loads((tmp_path / "explanation.json").read_text())
    total = facts["bias"] + sum(one["contribution"] for one in facts["features"])
    assert total == pytest.approx(facts["logit"], abs=1e-4)


def test_a_class_without_features_is_explained_by_its_bias(
    biased_model: InterpretableModel, picture: Image.Image, tmp_path: Path
) -> None:
    prediction = biased_model.predict(picture)
    idle = replace(prediction, probabilities=torch.tensor([0.1, 0.8, 0.1]))
    written = write_explanation(biased_model, picture, idle, tmp_path)
    assert {path.name for path in written} == {
        *("combined.png", "overview.png", "features.png", "explanation.json")
    }
    facts = json.loads((tmp_path / "explanation.json").read_text())
    assert facts["features"] == []
    assert facts["logit"] == facts["bias"] == 1.5


def test_writing_again_replaces(
    small_model: InterpretableModel, picture: Image.Image, tmp_path: Path
) -> None:
    prediction = small_model.predict(picture)
    first = write_explanation(small_model, picture, prediction, tmp_path)
    contents = {path: path.read_bytes() for path in first}
    assert write_explanation(small_model, picture, prediction, tmp_path) == first
    assert {path: path.read_bytes() for path in first} == contents


def test_a_contrast_has_a_row_for_each_side(
    small_model: InterpretableModel, picture: Image.Image, tmp_path: Path
) -> None:
    """owl and gull share nothing, owl and wren one feature of two."""
    prediction = small_model.predict(picture)
    heights = []
    for label, other, shared in ((0, 2, 0), (0, 1, 1)):
        found = contrast(prediction, label, other)
        assert (len(found.both), len(found.only_label)) == (shared, 2 - shared)
        assert set(found.only_label) | set(found.both) == set(prediction.used(label))
        assert set(found.only_other) | set(found.both) == set(prediction.used(other))
        said = replace(prediction, probabilities=torch.eye(3)[label])
        written = write_explanation(small_model, picture, said, tmp_path, against=other)
        assert tmp_path / "contrast.png" in written
        with Image.open(tmp_path / "contrast.png") as image:
            heights.append(image.height)
        facts = json.loads((tmp_path / "explanation.json").read_text())["against"]
        assert facts["class"] == small_model.class_names[other]
    assert heights[1] > heights[0]  # a row more: what both use


def test_features_are_drawn_whichever_class_uses_them(
    small_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = small_model.predict(picture)
    drawing = Drawing(small_model, picture, prediction)
    assert drawing.strength.shape == (4,)
    expected = prediction.feature_maps.amax(0) / small_model.peak
    np.testing.assert_allclose(drawing.strength, expected.numpy())


def test_a_sheet_has_a_row_an_image(
    outputs: dict[str, StageOutput], embeddings: Embeddings, tmp_path: Path
) -> None:
    evaluated = outputs["evaluate"]
    ids = evaluated.facts["overlay_ids"]
    assert isinstance(ids, list)
    for name in ids:
        Image.new("RGB", (40, 40), "blue").save(tmp_path / name)
    page = overlay_sheet(evaluated, tmp_path)
    assert page.dtype == np.uint8
    assert page.shape[2] == 3
    assert page.shape[0] > 3 * TILE
    assert page.shape[1] > 4 * TILE  # image, all features, and two features
    first = _first_tile(page)
    assert (first == (0, 0, 255)).all()


def test_an_unreadable_image_is_drawn_on_grey(
    outputs: dict[str, StageOutput], tmp_path: Path
) -> None:
    """Another machine may hold the images: the maps are worth seeing all the same."""
    evaluated = outputs["evaluate"]
    missing = overlay_sheet(evaluated, tmp_path / "nowhere")
    first = _first_tile(missing)
    assert (first == first[0, 0]).all()
    assert len(set(first[0, 0].tolist())) == 1
    assert missing.std() > 10  # but the tiles of features are not plain
    ids = evaluated.facts["overlay_ids"]
    assert isinstance(ids, list)
    (tmp_path / ids[0]).write_bytes(b"no picture")
    assert np.array_equal(overlay_sheet(evaluated, tmp_path), missing)


def _first_tile(page: np.ndarray) -> np.ndarray:
    """Return the inner part of the first picture, below its caption."""
    from qpmstudy.explain.captions import CAPTION_HEIGHT, GAP

    top = GAP + CAPTION_HEIGHT
    return page[top + 5 : top + TILE - 5, GAP + 5 : GAP + TILE - 5]
