"""From a picture of any size and mode to the pixels that a backbone sees."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from qpmstudy.backbones.geometry import seen_box
from qpmstudy.datasets.pictures import upright_rgb

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of a pixel's colours, on a scale from 0 to 1: all that was trained on ImageNet expects them."""


def preprocessing_of(
    side: int, interpolation: str, mean: list[float], std: list[float]
) -> dict[str, object]:
    """Return `Backbone.preprocessing`: the whole centred square, then (x - mean) / std.

    The shorter side becomes `side` and nothing more is cut off. Evaluation on ImageNet would
    enlarge to 256 and keep 224, but that loses an eighth of the shorter side: beaks, tails
    and bumpers. The aspect ratio is kept, since no backbone was trained on squeezed pictures.
    """
    return {
        "resize": side,
        "crop": side,
        "interpolation": interpolation,
        "mean": mean,
        "std": std,
    }


def seen_pixels(
    image: Image.Image, preprocessing: Mapping[str, object]
) -> UInt8[Tensor, "3 side side"]:
    """Return the square of a picture that `preprocessing` keeps, RGB, resampled to its "crop".

    Raises:
        DataError: `preprocessing` does not say what part of the image is seen.
    """
    image = upright_rgb(image)
    box = seen_box(*image.size, preprocessing)
    side = preprocessing["crop"]
    assert isinstance(side, int)
    filter_ = Image.Resampling[str(preprocessing["interpolation"]).upper()]
    # Pillow copies a picture that already has this size.
    seen = image.resize((side, side), filter_, box=box)
    return torch.from_numpy(np.array(seen)).permute(2, 0, 1).contiguous()
