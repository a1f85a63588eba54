"""Why one class and not another: the features that tell them apart on one image (paper Fig. 5).

Two classes of a QPM share features, which add the same to both logits: what decides between them
are those that only one of them uses.
"""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from qpmstudy.explain.captions import Tile, sheet
from qpmstudy.explain.drawing import Drawing, colours_of, in_rows
from qpmstudy.inference import Prediction, TokenModel

TILES_A_ROW = 6
SIDE = 220


@dataclass(frozen=True)
class Contrast:
    """The features of two classes, each list by contribution, the largest first."""

    only_label: list[int]
    only_other: list[int]
    both: list[int]


def contrast(prediction: Prediction, label: int, other: int) -> Contrast:
    """Return which features only one of two classes uses, and which both."""
    mine, theirs = prediction.used(label), prediction.used(other)
    return Contrast(
        [feature for feature in mine if feature not in theirs],
        [feature for feature in theirs if feature not in mine],
        [feature for feature in mine if feature in theirs],
    )


def contrast_facts(
    model: TokenModel, prediction: Prediction, label: int, other: int
) -> dict[str, Any]:
    """Return what favours a class over another, as JSON types.

    "bias" and "features" add up to "difference", the logit of the class less that of the other.
    A feature that both use with the same weight favours neither and is among "shared" alone.
    """
    found = contrast(prediction, label, other)
    difference = prediction.difference(label, other)
    used = sorted(
        (*found.only_label, *found.only_other, *found.both), key=lambda f: -float(difference[f])
    )
    return {
        "class": model.class_names[other],
        "probability": float(prediction.probabilities[other]),
        "logit": float(prediction.logits[other]),
        "difference": float(prediction.logits[label] - prediction.logits[other]),
        "bias": float(prediction.bias[label] - prediction.bias[other]),
        "features": {
            str(model.selected[feature]): float(difference[feature])
            for feature in used
            if difference[feature] != 0
        },
        "shared": [model.selected[feature] for feature in found.both],
    }


def contrast_sheet(drawing: Drawing, label: int, other: int) -> Image.Image:
    """Return one picture: image and both classes, then the features of one, the other, of both."""
    model, prediction = drawing.model, drawing.prediction
    found = contrast(prediction, label, other)
    order = [*found.only_label, *found.only_other, *found.both]
    colours = colours_of(model, order)

    def together(features: list[int], title: str, words: str) -> Tile:
        return drawing.tile(features, [colours[f] for f in features], title, words, SIDE)

    def of_class(label: int) -> Tile:
        words = f"probability {prediction.probabilities[label]:.2f}"
        return together(prediction.used(label), model.class_names[label], words)

    def said(features: list[int], classes: tuple[int, ...]) -> str:
        sums = [float(prediction.contributions[c, features].sum()) for c in classes]
        words = [f"{total:+.2f}" for total in dict.fromkeys(sums)]
        return f"contributes {' and '.join(words)}"

    rows = [[drawing.input(side=SIDE), of_class(label), of_class(other)]]
    groups = (
        (found.only_label, f"only {model.class_names[label]}", (label,)),
        (found.only_other, f"only {model.class_names[other]}", (other,)),
        (found.both, "both classes", (label, other)),
    )
    for features, title, classes in groups:
        if features:
            tiles = [together(features, title, said(features, classes))]
            tiles += [
                drawing.feature_tile(f, colours[f], said([f], classes), SIDE) for f in features
            ]
            rows += [list(row) for row in in_rows(tiles, TILES_A_ROW)]
    return sheet(rows)
