"""Pixels as tokens: for a network that is trained from the store, its first layer included.

Whole numbers from 0 to 255 are exact in the half precision that a store has.
"""

import hashlib
import json
import math
from pathlib import Path

from jaxtyping import Float, Real, UInt8
from torch import Tensor

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.preprocessing import preprocessing_of
from qpmstudy.config import PIXELS
from qpmstudy.errors import ConfigError

PATCH = 8
SIDES = dict(zip(PIXELS, (224, 112), strict=True))
LAYOUT = "channel, row, column"
"""Order of a token's values: `tokens.unflatten(-1, (3, 8, 8))` is its patch."""


class Pixels(Backbone):
    """Patches of 8 x 8 pixels, values 0 to 255, D = 192; no weights."""

    dim = 3 * PATCH * PATCH

    def __init__(self, name: str) -> None:
        """Take the side of the square that is seen from `SIDES`."""
        side = SIDES[name]
        self.name = name
        self.grid = (side // PATCH, side // PATCH)
        self.preprocessing = preprocessing_of(side, "bicubic", [0.0] * 3, [1 / 255] * 3)
        facts = json.dumps([LAYOUT, self.preprocessing])
        self.weight_hash = hashlib.sha256(facts.encode()).hexdigest()

    def normalised(self, pixels: UInt8[Tensor, "B 3 side side"]) -> Float[Tensor, "B 3 side side"]:
        """Return the pixels as they are, values 0 to 255."""
        return pixels.float()

    def embed(
        self, images: Float[Tensor, "B 3 side side"]
    ) -> tuple[Float[Tensor, "B P 192"], Float[Tensor, "B 192"]]:
        """Return the patches, row-major, each in the order of `LAYOUT`, and their mean."""
        patches = patches_of(images.cpu())
        return patches, patches.mean(dim=1)


def patches_of(images: Real[Tensor, "B 3 side side"]) -> Real[Tensor, "B P 192"]:
    """Return the patches of square pictures, row-major, each in the order of `LAYOUT`."""
    grid = images.shape[2] // PATCH
    rows = images.unflatten(3, (grid, PATCH)).unflatten(2, (grid, PATCH))
    patches: Tensor = rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return patches


def pictures_of(patches: Real[Tensor, "B P D"]) -> Real[Tensor, "B 3 side side"]:
    """Return the pictures that `patches_of` was given.

    Raises:
        ConfigError: these are no patches of square pictures.
    """
    _, count, dim = patches.shape
    grid = math.isqrt(count)
    if grid * grid != count or dim != Pixels.dim:
        raise ConfigError(
            f"{count} tokens of {dim} channels are no square picture: {Pixels.dim} channels in "
            f"square grids are needed. Use a store of {' or '.join(SIDES)}."
        )
    rows = patches.unflatten(2, (3, PATCH, PATCH)).unflatten(1, (grid, grid))
    pictures: Tensor = rows.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return pictures


def open_pixels(name: str, weights: Path | None) -> Pixels:
    """Return the backbone called `name`.

    Raises:
        ConfigError: weights are given, of which it has none.
    """
    if weights is not None:
        raise ConfigError(
            f"The backbone {name!r} has no weights, but {weights} was given: drop it."
        )
    return Pixels(name)
