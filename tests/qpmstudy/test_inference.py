"""Predictions whose evidence adds up, for one image and for many."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qpmstudy.inference import InterpretableModel


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


def test_a_batch_says_what_each_image_alone_says(
    small_model: InterpretableModel, picture: Image.Image, tmp_path: Path
) -> None:
    turned = picture.rotate(90, expand=True)
    turned.save(tmp_path / "turned.png")
    together = small_model.predict_all(
        [picture, tmp_path / "turned.png", str(tmp_path / "turned.png")]
    )
    assert torch.equal(together[1].logits, together[2].logits)
    for prediction, image in zip(together, (picture, turned, turned), strict=True):
        alone = small_model.predict(image)
        torch.testing.assert_close(prediction.logits, alone.logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            prediction.feature_maps, alone.feature_maps, rtol=1e-4, atol=1e-4
        )
    assert small_model.predict_all([]) == []


def test_a_difference_adds_up_between_two_classes(
    biased_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = biased_model.predict(picture)
    difference = prediction.difference(2, 0)
    total = difference.sum() + prediction.bias[2] - prediction.bias[0]
    expected = prediction.logits[2] - prediction.logits[0]
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)


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
