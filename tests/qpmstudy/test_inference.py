"""Predictions whose evidence adds up, for one image and for many."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qpmstudy.errors import DataError
from qpmstudy.exported import save_model
from qpmstudy.inference import InterpretableModel
from qpmstudy.report import infer_images, prediction_json, prediction_text


@pytest.fixture(scope="module")
def folder(small_model: InterpretableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    tensors = {**small_model.classifier.tensors(), "peak": small_model.peak}
    save_model(path, tensors, small_model.record, "# small\n")
    return path


@pytest.fixture
def files(picture: Image.Image, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("a.png", "b.jpg")]
    picture.save(paths[0])
    picture.rotate(90, expand=True).save(paths[1])
    return paths


def test_contributions_add_up_to_the_logits(
    small_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = small_model.predict(picture)
    total = prediction.contributions.sum(1)
    torch.testing.assert_close(total, prediction.logits, rtol=1e-5, atol=1e-5)
    assert (prediction.contributions[~prediction.mask] == 0).all()
    assert prediction.mask.sum(1).tolist() == [2, 2, 2]
    torch.testing.assert_close(prediction.probabilities, prediction.logits.softmax(0))
    assert prediction.feature_maps.shape == (256, 4)


def test_bias_and_contributions_add_up_to_the_logits(
    biased_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = biased_model.predict(picture)
    total = prediction.contributions.sum(1) + prediction.bias
    torch.testing.assert_close(total, prediction.logits, rtol=1e-5, atol=1e-5)
    assert prediction.bias.tolist() == [0.25, 1.5, -0.5]
    assert prediction.mask.sum(1).tolist() == [2, 0, 4]
    assert prediction.used(1) == []
    assert prediction.logits[1] == 1.5


def test_qpm_has_no_bias_to_speak_of(small_model: InterpretableModel, picture: Image.Image) -> None:
    prediction = small_model.predict(picture)
    assert not prediction.bias.any()
    assert "bias" not in prediction_text(Path("x.png"), prediction, small_model, 1)


def test_words_and_numbers_of_a_bias(
    biased_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = biased_model.predict(picture)
    label = prediction.top(1)[0]
    record = prediction_json(Path("x.png"), prediction, biased_model)
    assert record["bias"] == float(prediction.bias[label])
    total = record["bias"] + sum(record["contributions"].values())
    assert total == pytest.approx(record["logit"], abs=1e-4)
    text = prediction_text(Path("x.png"), prediction, biased_model, 1)
    assert f"bias {record['bias']:+.2f}  = logit {record['logit']:+.2f}" in text


def test_classes_and_features_are_ranked(
    small_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = small_model.predict(picture)
    order = prediction.top(3)
    assert sorted(order) == [0, 1, 2]
    assert (prediction.logits[order].diff() <= 0).all()
    assert prediction.top(1) == order[:1]
    for label in range(3):
        used = prediction.used(label)
        assert sorted(used) == prediction.mask[label].nonzero().flatten().tolist()
        assert prediction.contributions[label, used].diff() <= 0


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_any_kind_of_picture_is_taken(small_model: InterpretableModel, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((40, 60), 30000, np.uint16))
    else:
        image = Image.new("RGB", (60, 40), (200, 10, 10)).convert(mode)
    prediction = small_model.predict(image)
    assert prediction.logits.isfinite().all()


def test_predictions_repeat_and_leave_no_graph(
    small_model: InterpretableModel, picture: Image.Image
) -> None:
    one, other = small_model.predict(picture), small_model.predict(picture)
    assert torch.equal(one.logits, other.logits)
    assert not one.logits.requires_grad


def test_many_images(folder: Path, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = list(infer_images(folder, files, out))
    assert [path for path, *_ in found] == files
    for (path, prediction, model, written), sub in zip(found, ("001-a", "002-b"), strict=True):
        assert all(file.parent == out / sub for file in written)
        assert all(file.is_file() for file in written)
        record = json.loads(json.dumps(prediction_json(path, prediction, model)))
        assert record["image"] == str(path)
        assert record["class"] == max(record["probabilities"], key=record["probabilities"].get)
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert sum(record["contributions"].values()) == pytest.approx(record["logit"], abs=1e-4)
        assert set(record["contributions"]) <= {"3", "5", "11", "40"}


def test_one_image_needs_no_folder_of_its_own(
    folder: Path, files: list[Path], tmp_path: Path
) -> None:
    ((_, _, _, written),) = infer_images(folder, files[:1], tmp_path / "out")
    assert {file.parent for file in written} == {tmp_path / "out"}
    ((_, _, _, nothing),) = infer_images(folder, files[:1], None)
    assert nothing == []


def test_a_bad_image_stops_before_the_first_prediction(
    folder: Path, files: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:50])
    for bad, message in ((broken, "cannot be decoded"), (tmp_path / "no.png", "does not exist")):
        with pytest.raises(DataError, match=rf"{bad.name} {message}"):
            next(infer_images(folder, [*files, bad], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_words(small_model: InterpretableModel, picture: Image.Image) -> None:
    prediction = small_model.predict(picture)
    text = prediction_text(Path("x.png"), prediction, small_model, 2).splitlines()
    assert text[0] == "x.png"
    assert len(text) == 4
    best = prediction.top(2)
    for line, label in zip(text[1:3], best, strict=True):
        assert line.split() == [
            f"{100 * float(prediction.probabilities[label]):.1f}%",
            small_model.class_names[label],
        ]
    assert text[3].startswith("  because: feature ")
    assert text[3].endswith(f"= logit {float(prediction.logits[best[0]]):+.2f}")
    assert text[3].count("feature ") == 2


def test_tokens_are_rounded_as_the_store_holds_them(
    small_model: InterpretableModel, picture: Image.Image
) -> None:
    backbone = small_model.backbone
    tokens, _ = backbone.embed(backbone.preprocess(picture)[None])
    with torch.inference_mode():
        stored = small_model.classifier(tokens.half().float()).logits[0]
        unrounded = small_model.classifier(tokens).logits[0]
    assert torch.equal(small_model.predict(picture).logits, stored)
    assert not torch.equal(stored, unrounded)


def test_a_model_of_other_classes_says_so(
    small_model: InterpretableModel, picture: Image.Image
) -> None:
    renamed = replace(small_model, class_names=("x", "y", "z"))
    prediction = renamed.predict(picture)
    record = prediction_json(Path("x.png"), prediction, renamed)
    assert set(record["probabilities"]) == {"x", "y", "z"}
