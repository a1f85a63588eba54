"""Predictions in words, as JSON and as rows: every sum is there to be checked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from qpmstudy.errors import ConfigError
from qpmstudy.inference import InterpretableModel, Prediction
from qpmstudy.prediction_report import (
    COLUMNS,
    find_class,
    prediction_json,
    prediction_rows,
    prediction_text,
    rival,
)

PATH = Path("x.png")


@pytest.fixture(params=["small_model", "biased_model"])
def model(request: pytest.FixtureRequest) -> InterpretableModel:
    found: InterpretableModel = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def prediction(model: InterpretableModel, picture: Image.Image) -> Prediction:
    return model.predict(picture)


def test_json_adds_up_for_every_class(model: InterpretableModel, prediction: Prediction) -> None:
    record = json.loads(json.dumps(prediction_json(PATH, prediction, model, top=99)))
    assert record["image"] == "x.png"
    assert len(record["top"]) == 3
    shares = [one["probability"] for one in record["top"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-6)
    assert (record["class"], record["probability"]) == (record["top"][0]["class"], shares[0])
    for one in record["top"]:
        total = one["bias"] + sum(one["contributions"].values())
        assert total == pytest.approx(one["logit"], rel=1e-5, abs=1e-5)
        assert set(one["contributions"]) <= {"3", "5", "11", "40"}
    assert "against" not in record
    assert len(prediction_json(PATH, prediction, model, top=1)["top"]) == 1


def test_a_contrast_adds_up_to_the_difference(
    model: InterpretableModel, prediction: Prediction
) -> None:
    best, *others = prediction.top(3)
    for other in others:
        found = prediction_json(PATH, prediction, model, 1, against=other)["against"]
        assert found["class"] == model.class_names[other]
        total = found["bias"] + sum(found["features"].values())
        assert total == pytest.approx(found["difference"], rel=1e-5, abs=1e-5)
        expected = float(prediction.logits[best] - prediction.logits[other])
        assert found["difference"] == pytest.approx(expected)
        assert f"rather than {found['class']}: " in prediction_text(
            PATH, prediction, model, 1, against=other
        )


def test_features_that_both_classes_use_alike_decide_nothing(
    small_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = small_model.predict(picture)
    best = prediction.top(1)[0]
    for other in {0, 1, 2} - {best}:
        found = prediction_json(PATH, prediction, small_model, 1, against=other)["against"]
        shared = {str(number) for number in found["shared"]}
        assert not shared & set(found["features"])
        assert len(found["features"]) == 4 - 2 * len(shared)


def test_the_rival_of_the_class_itself_is_the_runner_up(
    model: InterpretableModel, prediction: Prediction
) -> None:
    best, second, third = prediction.top(3)
    assert rival(prediction, None) is None
    assert rival(prediction, best) == second
    assert rival(prediction, third) == third
    per_class = ("logits", "probabilities", "contributions", "bias", "mask")
    alone = replace(prediction, **{name: getattr(prediction, name)[:1] for name in per_class})
    assert rival(alone, 0) is None


def test_words(small_model: InterpretableModel, picture: Image.Image) -> None:
    prediction = small_model.predict(picture)
    text = prediction_text(PATH, prediction, small_model, 2).splitlines()
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
    assert "bias" not in text[3]


def test_a_bias_is_among_the_reasons(
    biased_model: InterpretableModel, picture: Image.Image
) -> None:
    prediction = biased_model.predict(picture)
    label = prediction.top(1)[0]
    text = prediction_text(PATH, prediction, biased_model, 1)
    bias, logit = float(prediction.bias[label]), float(prediction.logits[label])
    assert f"bias {bias:+.2f}  = logit {logit:+.2f}" in text


def test_rows(model: InterpretableModel, prediction: Prediction) -> None:
    rows = prediction_rows(PATH, prediction, model, 2)
    assert [row[1] for row in rows] == ["1", "2"]
    for row, label in zip(rows, prediction.top(2), strict=True):
        named = dict(zip(COLUMNS, row, strict=True))
        assert named["class"] == model.class_names[label]
        parts = [float(term.partition(":")[2]) for term in named["contributions"].split()]
        total = float(named["bias"]) + sum(parts)
        assert total == pytest.approx(float(named["logit"]), abs=3e-4)


def test_classes_go_by_any_part_that_only_one_has(small_model: InterpretableModel) -> None:
    model = replace(small_model, class_names=("Grey owl", "Snowy Owl", "wren"))
    assert find_class(model, "wren") == find_class(model, "REN") == 2
    assert find_class(model, "grey") == 0
    with pytest.raises(ConfigError, match=r"2 of the model's 3 .* 'owl' in their name: Grey owl, "):
        find_class(model, "owl")
    with pytest.raises(
        ConfigError, match=r"None of .* called 'wern'; there are Grey owl, .*, wren\."
    ):
        find_class(model, "wern")
    exact = replace(small_model, class_names=("owl", "owlet", "gull"))
    assert find_class(exact, "owl") == 0
    assert torch.equal(exact.peak, small_model.peak)
