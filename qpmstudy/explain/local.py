"""The explanation of one prediction (paper Fig. 1): each used feature, and all together."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from qpmstudy.explain.captions import Tile, sheet
from qpmstudy.explain.overlays import colour, heat, seen_picture, tinted
from qpmstudy.files import write_json
from qpmstudy.inference import InterpretableModel, Prediction

SIDE = 448
TILE_SIDE = 300
TILES_A_ROW = 4


def write_explanation(
    model: InterpretableModel, image: Image.Image, prediction: Prediction, folder: Path
) -> list[Path]:
    """Write the overlays of the predicted class's features, and the numbers behind them.

    Args:
        model: the model that predicted.
        image: upright RGB.
        prediction: what it said.
        folder: made if it is not there; files of the same names are replaced.

    Returns:
        The files: "combined.png" (every used feature in its colour), "overview.png" (image,
        combined and features side by side, captioned), "feature-<number>.png" for each used
        feature, and "explanation.json", whose bias and contributions add up to the logit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    label = prediction.top(1)[0]
    used = prediction.used(label)
    preprocessing = model.backbone.preprocessing
    picture = seen_picture(image, preprocessing, SIDE)
    maps = prediction.feature_maps.numpy()
    heats = [heat(maps[:, f], model.grid, float(model.peak[f]), SIDE) for f in used]
    colours = [colour(position) for position in range(len(used))]
    combined = tinted(picture, heats, colours)
    written = [folder / "combined.png", folder / "overview.png", folder / "explanation.json"]
    Image.fromarray(combined).save(written[0])
    name, share = model.class_names[label], float(prediction.probabilities[label])
    logit = float(prediction.logits[label])
    tiles = [
        Tile(_small(picture), "input"),
        Tile(
            _small(combined), name, f"probability {share:.2f}, logit {prediction.logits[label]:.2f}"
        ),
    ]
    facts = []
    for feature, its_heat, its_colour in zip(used, heats, colours, strict=True):
        overlay = tinted(picture, [its_heat], [its_colour])
        number = model.selected[feature]
        written.append(folder / f"feature-{number}.png")
        Image.fromarray(overlay).save(written[-1])
        contribution = float(prediction.contributions[label, feature])
        subtitle = f"contributes {contribution:+.2f}"
        tiles.append(Tile(_small(overlay), f"feature {number}", subtitle, its_colour))
        peak = np.unravel_index(int(maps[:, feature].argmax()), model.grid)
        facts.append(
            {
                "feature": number,
                "contribution": contribution,
                "colour": "#{:02x}{:02x}{:02x}".format(*its_colour),
                "classes": [
                    model.class_names[c]
                    for c in prediction.mask[:, feature].nonzero().flatten().tolist()
                ],
                "strongest_patch": [int(peak[0]), int(peak[1])],
            }
        )
    rows = [tiles[start : start + TILES_A_ROW] for start in range(0, len(tiles), TILES_A_ROW)]
    sheet(rows).save(written[1])
    write_json(
        written[2],
        {
            "class": name,
            "probability": share,
            "logit": logit,
            "bias": float(prediction.bias[label]),
            "features": facts,
        },
    )
    return written


def _small(picture: UInt8[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "T T 3"]:
    image = Image.fromarray(picture).resize((TILE_SIDE, TILE_SIDE), Image.Resampling.BOX)
    return np.asarray(image)
