"""Mistakes: what the model saw in an image, and why that was not its class (paper Fig. 18-23)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from qpmstudy.confusions import Confusion, confusion_lines
from qpmstudy.explain.captions import Tile
from qpmstudy.explain.class_page import features_of
from qpmstudy.explain.drawing import SIDE, Shown, colours_of, shrunk
from qpmstudy.explain.overlays import Colour, heat, tinted
from qpmstudy.explain.page import Page, Section, Strip, side_of, signed
from qpmstudy.inference import TokenModel

EVIDENCE: Colour = (150, 60, 255)
"""Of the dense model's GradCAM, which belongs to no feature."""


@dataclass(frozen=True)
class DenseView:
    """What the dense model makes of an image: its class, how sure it is, and the evidence for it.

    Evidence is the weighted sum of its feature maps, which is GradCAM of a linear head.
    """

    label: int
    probability: float
    evidence: Float[np.ndarray, " P"]


@dataclass(frozen=True)
class Failure:
    """An image taken for another class.

    Attributes:
        image: the image.
        nearest: the training image of the predicted class that is most alike, if there is one.
        similarity: how alike they are.
        dense: what the dense model says, where there is one.
    """

    image: Shown
    nearest: Shown | None
    similarity: float
    dense: DenseView | None


def failure_page(
    model: TokenModel,
    failures: Sequence[Failure],
    confused: Sequence[Confusion],
    words: Sequence[str],
) -> Page:
    """Return the page of some mistakes; `words` say which, of how many."""
    colours = colours_of(model, [f for one in failures for f in _features(model, one)[0]])
    sections = [
        _section(model, number, one, colours) for number, one in enumerate(failures, start=1)
    ]
    if confused:
        lines = confusion_lines(confused, model.class_names)
        sections.insert(0, Section("What is taken for what", tuple(lines)))
    return Page(
        f"Mistakes of {model.record.get('name', 'the model')}", tuple(words), tuple(sections)
    )


def _features(model: TokenModel, failure: Failure) -> tuple[list[int], list[int]]:
    """Return the features of both classes, and those that both use, which come first there too."""
    wrong = failure.image.drawing.prediction.top(1)[0]
    mine, theirs = features_of(model, failure.image.label), features_of(model, wrong)
    both = [feature for feature in mine if feature in theirs]
    return list(dict.fromkeys([*both, *theirs, *mine])), both


def _section(
    model: TokenModel, number: int, failure: Failure, colours: dict[int, Colour]
) -> Section:
    drawing, true = failure.image.drawing, failure.image.label
    prediction = drawing.prediction
    wrong = prediction.top(1)[0]
    mine, theirs = features_of(model, true), features_of(model, wrong)
    order, both = _features(model, failure)
    side = side_of(4 + (failure.dense is not None), labelled=False)

    def painted(features: list[int], title: str, label: int) -> Tile:
        said = f"{model.class_names[label]}, {prediction.probabilities[label]:.0%}"
        return drawing.tile(features, [colours[f] for f in features], title, said, side)

    tiles = [
        drawing.input(failure.image.name, side),
        painted(theirs, "predicted", wrong),
        painted(mine, "true", true),
    ]
    if failure.dense is not None:
        tiles.append(_dense(model, failure, failure.dense, side))
    if failure.nearest is not None:
        tiles.append(_nearest(failure, failure.nearest, theirs, colours, side))
    only = tuple(
        _alone(failure, feature, colours[feature], wrong, side)
        for feature in order
        if feature not in both
    )
    return Section(
        f"{number}. {model.class_names[true]} taken for {model.class_names[wrong]}",
        (_words(failure, wrong, both),),
        legend=tuple(
            (
                colours[feature],
                f"feature {model.selected[feature]}: {_said(failure, feature, wrong)}",
            )
            for feature in order
        ),
        strips=(Strip(tuple(tiles)), *([Strip(only)] if only else [])),
    )


def _alone(failure: Failure, feature: int, its_colour: Colour, wrong: int, side: int) -> Tile:
    name, _, value = _said(failure, feature, wrong).partition(" ")
    said = f"only the {name} class: {value}"
    return failure.image.drawing.feature_tile(feature, its_colour, said, side)


def _words(failure: Failure, wrong: int, both: list[int]) -> str:
    prediction, true = failure.image.drawing.prediction, failure.image.label
    shared = f"The classes share {len(both) or 'no'} feature{'' if len(both) == 1 else 's'}"
    logits = [signed(float(prediction.logits[label])) for label in (wrong, true)]
    return (
        f"{shared}; what only one of them uses is shown by itself. Logit of the predicted class "
        f"{logits[0]}, of the true one {logits[1]}."
    )


def _said(failure: Failure, feature: int, wrong: int) -> str:
    """Return what a feature adds to the two classes."""
    prediction, true = failure.image.drawing.prediction, failure.image.label
    added = {
        name: signed(float(prediction.contributions[label, feature]))
        for name, label in (("predicted", wrong), ("true", true))
        if prediction.mask[label, feature]
    }
    if len(added) == 2 and len(set(added.values())) == 1:
        return f"both {added['true']}"
    return ", ".join(f"{name} {value}" for name, value in added.items())


def _dense(model: TokenModel, failure: Failure, dense: DenseView, side: int) -> Tile:
    evidence = dense.evidence.clip(0)
    on_picture = heat(evidence, model.grid, float(evidence.max()), SIDE)
    picture = tinted(failure.image.drawing.picture, [on_picture], [EVIDENCE])
    said = f"{model.class_names[dense.label]}, {dense.probability:.0%}"
    return Tile(shrunk(picture, side), "dense model, GradCAM", said)


def _nearest(
    failure: Failure, nearest: Shown, features: list[int], colours: dict[int, Colour], side: int
) -> Tile:
    return nearest.drawing.tile(
        features,
        [colours[feature] for feature in features],
        "nearest training image of the predicted class",
        f"similarity {failure.similarity:.2f}: {nearest.name}",
        side,
    )
