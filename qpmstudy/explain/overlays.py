"""Drawing feature maps over the part of an image that the backbone sees.

Symbols: S side of the picture in pixels, P patches on a rows x cols grid.
"""

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from qpmstudy.backbones.geometry import seen_box

Colour = tuple[int, int, int]

# Okabe and Ito's palette, told apart with every common colour vision; the last three are Tol's.
PALETTE: tuple[Colour, ...] = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (86, 180, 233),
    (230, 159, 0),
    (136, 34, 85),
    (51, 34, 136),
    (153, 153, 51),
)
COLOUR_KEPT = 0.1  # share of its own colour that the image keeps: paint of that colour is seen, too
PAINT = 0.75  # share of paint at full activation: what lies underneath stays visible


def colour(position: int) -> Colour:
    """Return a colour for the n-th feature of an explanation; never the same for two."""
    if position < len(PALETTE):
        return PALETTE[position]
    red, green, blue = colorsys.hsv_to_rgb((position * 0.618034) % 1, 0.75, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def seen_picture(
    image: Image.Image, preprocessing: Mapping[str, object], side: int
) -> UInt8[np.ndarray, "S S 3"]:
    """Return the square of an RGB image that the backbone sees, resized to `side` pixels."""
    box = seen_box(*image.size, preprocessing)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))


def out_of_reach(side: int) -> Image.Image:
    """Return what stands for an image that cannot be read: grey, of `side` pixels."""
    return Image.new("RGB", (side, side), (160, 160, 160))


def heat(
    feature_map: Float[np.ndarray, " P"], grid: tuple[int, int], peak: float, side: int
) -> Float[np.ndarray, "S S"]:
    """Return a map enlarged to `side` pixels, in [0, 1]: 1 is the feature's usual peak.

    Scaling by the feature's own peak over the training images, not by this image's, keeps a
    feature that hardly fires from looking like one that does.
    """
    on_grid = feature_map.reshape(grid).astype(np.float32) / max(peak, 1e-12)
    enlarged = Image.fromarray(on_grid).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(enlarged).clip(0, 1)


def tinted(
    picture: UInt8[np.ndarray, "S S 3"],
    heats: Sequence[Float[np.ndarray, "S S"]],
    colours: Sequence[Colour],
) -> UInt8[np.ndarray, "S S 3"]:
    """Return the picture greyed where nothing fires, painted where features do.

    Where several fire, each adds its colour in proportion to its share of their sum. Without a
    map, which is a class without features, all of it is grey.
    """
    light = picture.astype(np.float32)
    grey = light.mean(2, keepdims=True)
    if not heats:
        heats, colours = [np.zeros(picture.shape[:2], np.float32)], PALETTE[:1]
    stack = np.stack(heats)  # (n, S, S)
    fires = stack.max(0)[..., None]
    total = np.maximum(stack.sum(0), 1e-6)
    paint = np.tensordot(stack / total, np.asarray(colours, np.float32), axes=(0, 0))
    faded = COLOUR_KEPT * light + (1 - COLOUR_KEPT) * grey
    quiet = 0.6 * faded + 60
    loud = (1 - PAINT) * faded + PAINT * paint
    painted: Float[np.ndarray, "S S 3"] = quiet * (1 - fires) + loud * fires
    return painted.clip(0, 255).astype(np.uint8)
