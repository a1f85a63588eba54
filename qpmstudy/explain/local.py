"""The explanation of one prediction (paper Fig. 1): each used feature, and all together."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qpmstudy.explain.captions import Tile, sheet
from qpmstudy.explain.contrast import contrast_facts, contrast_sheet
from qpmstudy.explain.drawing import Drawing, colours_of, in_rows
from qpmstudy.explain.overlays import Colour
from qpmstudy.files import write_json
from qpmstudy.inference import Prediction, TokenModel

TILES_A_ROW = 4
SMALL_SIDE, SMALL_A_ROW, MOST_SMALL = 150, 8, 64
UNUSED: Colour = (150, 60, 255)
"""Of features that the predicted class does not use; none of the palette's."""


def write_explanation(
    model: TokenModel,
    image: Image.Image,
    prediction: Prediction,
    folder: Path,
    against: int | None = None,
) -> list[Path]:
    """Write the overlays of the predicted class's features, and the numbers behind them.

    Args:
        model: the model that predicted.
        image: upright RGB.
        prediction: what it said.
        folder: made if it is not there; files of the same names are replaced.
        against: another class, to be contrasted with the predicted one.

    Returns:
        The files: "combined.png" (every used feature in its colour), "overview.png" (image,
        combined and features side by side, captioned), "features.png" (where each feature of the
        model fires, whichever class uses it), "feature-<number>.png" for each used feature,
        "contrast.png" against the other class, and "explanation.json", whose bias and
        contributions add up to the logit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawing = Drawing(model, image, prediction)
    label = prediction.top(1)[0]
    used = prediction.used(label)
    colours = colours_of(model, used)
    pictures = {
        "combined.png": Image.fromarray(drawing.painted(used, list(colours.values()))),
        "overview.png": sheet(in_rows(_overview(drawing, label, colours), TILES_A_ROW)),
        "features.png": sheet(in_rows(_all_features(drawing, colours), SMALL_A_ROW)),
    }
    for feature, its_colour in colours.items():
        overlay = Image.fromarray(drawing.painted([feature], [its_colour]))
        pictures[f"feature-{model.selected[feature]}.png"] = overlay
    facts = _facts(drawing, label, colours)
    if against is not None:
        pictures["contrast.png"] = contrast_sheet(drawing, label, against)
        facts["against"] = contrast_facts(model, prediction, label, against)
    for name, picture in pictures.items():
        picture.save(folder / name)
    write_json(folder / "explanation.json", facts)
    return [*(folder / name for name in pictures), folder / "explanation.json"]


def _overview(drawing: Drawing, label: int, colours: dict[int, Colour]) -> list[Tile]:
    model, prediction = drawing.model, drawing.prediction
    share, logit = prediction.probabilities[label], prediction.logits[label]
    words = f"probability {share:.2f}, logit {logit:.2f}"
    tiles = [
        drawing.input(),
        drawing.tile(list(colours), list(colours.values()), model.class_names[label], words),
    ]
    for feature, its_colour in colours.items():
        said = f"contributes {prediction.contributions[label, feature]:+.2f}"
        tiles.append(drawing.feature_tile(feature, its_colour, said))
    return tiles


def _all_features(drawing: Drawing, colours: dict[int, Colour]) -> list[Tile]:
    """Return a small tile for each feature, strongest first: no class has a part in it."""
    strength = drawing.strength
    order = np.argsort(-strength, kind="stable")[:MOST_SMALL].tolist()
    return [
        drawing.feature_tile(
            feature,
            colours.get(feature, UNUSED),
            f"{'' if feature in colours else 'unused, '}{strength[feature]:.2f} of peak",
            SMALL_SIDE,
        )
        for feature in order
    ]


def _facts(drawing: Drawing, label: int, colours: dict[int, Colour]) -> dict[str, Any]:
    model, prediction = drawing.model, drawing.prediction
    features = []
    for feature, its_colour in colours.items():
        peak = np.unravel_index(int(prediction.feature_maps[:, feature].argmax()), model.grid)
        features.append(
            {
                "feature": model.selected[feature],
                "contribution": float(prediction.contributions[label, feature]),
                "strength": float(drawing.strength[feature]),
                "colour": "#{:02x}{:02x}{:02x}".format(*its_colour),
                "classes": [
                    model.class_names[c]
                    for c in prediction.mask[:, feature].nonzero().flatten().tolist()
                ],
                "strongest_patch": [int(peak[0]), int(peak[1])],
            }
        )
    return {
        "class": model.class_names[label],
        "probability": float(prediction.probabilities[label]),
        "logit": float(prediction.logits[label]),
        "bias": float(prediction.bias[label]),
        "features": features,
    }
