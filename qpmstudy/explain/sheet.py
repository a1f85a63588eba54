"""One picture of several evaluated images with the features behind each decision."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from qpmstudy.datasets.pictures import read_rgb
from qpmstudy.errors import DataError
from qpmstudy.explain.captions import Tile, sheet
from qpmstudy.explain.colouring import page_colours
from qpmstudy.explain.overlays import heat, out_of_reach, seen_picture, tinted
from qpmstudy.stages.base import StageOutput

SIDE = 224


def overlay_sheet(evaluated: StageOutput, image_root: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Return a row for each image that the evaluate stage kept: image, combined, each feature.

    Args:
        evaluated: output of the evaluate stage of a sparse model.
        image_root: folder of the images; where one cannot be read (another machine holds the
            images, say) the maps are drawn over grey.
    """
    facts, tensors = evaluated.facts, evaluated.tensors
    backbone: Any = facts["backbone"]
    grid, preprocessing = backbone["grid"], backbone["preprocessing"]
    ids: Any = facts["overlay_ids"]
    labels: Any = facts["overlay_labels"]
    names: Any = facts["class_names"]
    weight, peak = tensors["weight"].numpy(), tensors["peak"].numpy()
    numbers = tensors["selected"].tolist()
    rows = []
    for position, name in enumerate(ids):
        maps = tensors["overlay.maps"][position].numpy()
        predicted = int(tensors["overlay.predicted"][position])
        picture = seen_picture(_image(image_root / name), preprocessing, SIDE)
        w = weight[predicted]
        used = np.flatnonzero(w)
        heats = [heat(maps[:, f], (grid[0], grid[1]), float(peak[f]), SIDE) for f in used]
        colours = list(page_colours(weight, used.tolist()).values())
        right = predicted == labels[position]
        said = "" if right else f"predicted {names[predicted]}"
        rows.append(
            [
                Tile(picture, names[labels[position]], said),
                Tile(tinted(picture, heats, colours), "all features"),
                *(
                    Tile(tinted(picture, [h], [c]), f"feature {numbers[f]}", _side(float(w[f])), c)
                    for f, h, c in zip(used, heats, colours, strict=True)
                ),
            ]
        )
    return np.asarray(sheet(rows))


def _side(weight: float) -> str:
    return "counts against it" if weight < 0 else ""


def _image(path: Path) -> Image.Image:
    try:
        return read_rgb(path)
    except DataError:
        return out_of_reach(SIDE)
