"""What makes a class, or two: the features they use, on their best examples (paper Fig. 5, 14-17).

Images stand in columns, features in rows, so that the same picture can be followed downwards and
the same feature sideways, from one class to the other.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Float

from qpmstudy.explain.captions import Tile
from qpmstudy.explain.drawing import Shown, colours_of, shrunk
from qpmstudy.explain.overlays import Colour
from qpmstudy.explain.page import Page, Section, Strip, side_of, signed
from qpmstudy.inference import TokenModel

STRENGTH = (
    "Paint shows where a feature fires; strength 1.00 is its usual peak over the training images. "
    "What it adds to the logit of the image's class counts from its mean before fine-tuning, which "
    "may have lowered it on all images. So what tells is the second number: how much more that is "
    "than on average over all images."
)


def class_page(
    model: TokenModel,
    classes: Sequence[int],
    examples: Sequence[Sequence[Shown]],
    scores: Float[np.ndarray, " F"],
    words: Sequence[str] = (),
) -> Page:
    """Return the page of one class, or of two side by side.

    Args:
        model: the model.
        classes: one or two of its classes.
        examples: images of each, at least one.
        scores: mean of each feature's standardised value over all images that they are taken from.
        words: what else is to be said, such as which images those are.
    """
    groups = _groups(model, classes)
    order = [feature for _, features in groups for feature in features]
    colours = colours_of(model, order)
    shown = [one for images in examples for one in images]
    side = side_of(len(shown), labelled=True)
    sizes = zip(classes, examples, strict=True)
    bands = tuple((model.class_names[label], len(images)) for label, images in sizes)
    if len(classes) == 1:  # which the title names
        bands = ()
    sections = [Section("Examples", (STRENGTH,), bands=bands, strips=_whole(shown, colours, side))]
    for heading, features in groups:
        if features:
            strips = tuple(
                _strip(one, colours[one], model, shown, float(scores[one]), side)
                for one in features
            )
            sections.append(Section(heading, bands=bands, strips=strips))
    names = [model.class_names[label] for label in classes]
    said = (*_words(model, classes, groups), *words)
    return Page(" and ".join(names), said, tuple(sections))


def features_of(model: TokenModel, label: int) -> list[int]:
    """Return the columns of the features that a class uses."""
    used: list[int] = model.classifier.weight[label].nonzero().flatten().tolist()
    return used


def _groups(model: TokenModel, classes: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Return headings, each with its features: what the classes share, what only one of them uses.

    What both use, but with weights of other signs or sizes, tells them apart too, and says so in
    its row.
    """
    first = features_of(model, classes[0])
    if len(classes) == 1:
        return [("Its features", first)]
    second = features_of(model, classes[1])
    names = [model.class_names[label] for label in classes]
    return [
        ("Both use", [feature for feature in first if feature in second]),
        (f"Only {names[0]} uses", [feature for feature in first if feature not in second]),
        (f"Only {names[1]} uses", [feature for feature in second if feature not in first]),
    ]


def _words(
    model: TokenModel, classes: Sequence[int], groups: Sequence[tuple[str, list[int]]]
) -> tuple[str, ...]:
    if len(classes) == 1:
        weight = model.classifier.weight
        numbers = []
        for feature in groups[0][1]:
            others = int((weight[:, feature] != 0).sum()) - 1
            used = f"also used by {others} other class{'' if others == 1 else 'es'}"
            if not others:
                used = "used by no other class"
            numbers.append(f"feature {model.selected[feature]} ({used})")
        return (f"Recognised by {', '.join(numbers)}." if numbers else "It uses no feature.",)
    both, one, other = (features for _, features in groups)
    if not one and not other:
        return (f"Both use the same {len(both)} features: only weights and bias tell them apart.",)
    return (
        f"They share {len(both)} feature{'' if len(both) == 1 else 's'}, "
        f"{len(one)} {'is' if len(one) == 1 else 'are'} the first one's alone and {len(other)} "
        "the other's: these decide between them.",
    )


def _whole(shown: Sequence[Shown], colours: dict[int, Colour], side: int) -> tuple[Strip, Strip]:
    model = shown[0].drawing.model
    plain, painted = [], []
    for one in shown:
        drawing, prediction = one.drawing, one.drawing.prediction
        best = prediction.top(1)[0]
        said = f"{prediction.probabilities[one.label]:.0%} sure"
        if best != one.label:
            said = f"taken for {model.class_names[best]}"
        plain.append(Tile(shrunk(drawing.picture, side), PurePosixPath(one.name).name, said))
        used = features_of(model, one.label)
        painted.append(drawing.tile(used, [colours[f] for f in used], "", side=side))
    return (
        Strip(tuple(plain), "input", "what the model sees, and how sure it is of the class"),
        Strip(tuple(painted), "all features", "those of the image's class, each in its colour"),
    )


def _strip(
    feature: int,
    its_colour: Colour,
    model: TokenModel,
    shown: Sequence[Shown],
    score: float,
    side: int,
) -> Strip:
    tiles = []
    for one in shown:
        strength = f"strength {one.drawing.strength[feature]:.2f}"
        added = float(one.drawing.prediction.contributions[one.label, feature])
        used = bool(one.drawing.prediction.mask[one.label, feature])
        more = added - float(model.classifier.weight[one.label, feature]) * score
        said = f"adds {signed(added)}, {signed(more)} against average" if used else "not used"
        tiles.append(one.drawing.tile([feature], [its_colour], strength, said, side))
    label = f"feature {model.selected[feature]}"
    return Strip(tuple(tiles), label, _weights(model, feature, shown), its_colour)


def _weights(model: TokenModel, feature: int, shown: Sequence[Shown]) -> str:
    """Return the weights of a feature where they are more than used or not used."""
    weight = model.classifier.weight.detach().cpu().numpy()
    if np.isin(weight, (0, 1)).all():
        return ""
    labels = dict.fromkeys(one.label for one in shown)
    return "weight " + " and ".join(signed(float(weight[label, feature])) for label in labels)
