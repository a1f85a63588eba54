"""One image with a model's features drawn over it, from which all explanations are put together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from qpmstudy.explain.captions import Tile
from qpmstudy.explain.colouring import page_colours
from qpmstudy.explain.overlays import Colour, heat, seen_picture, tinted
from qpmstudy.inference import Prediction, TokenModel

SIDE = 448
TILE_SIDE = 300


@dataclass(frozen=True)
class Drawing:
    """What a model sees of one image, and where its features fire there.

    Features are meant by their column in the model, not by their number in the dense one.

    Attributes:
        model: the model.
        image: upright RGB.
        prediction: what the model said of it.
    """

    model: TokenModel
    image: Image.Image
    prediction: Prediction

    @cached_property
    def picture(self) -> UInt8[np.ndarray, "S S 3"]:
        """Return the part of the image that the model sees, at `SIDE` pixels."""
        return seen_picture(self.image, self.model.preprocessing, SIDE)

    @cached_property
    def strength(self) -> Float[np.ndarray, " F"]:
        """Return the largest value of each feature's map, 1 at the feature's usual peak."""
        largest = self.prediction.feature_maps.amax(0) / self.model.peak.clamp(1e-12)
        return np.asarray(largest.cpu())

    def painted(
        self, features: Sequence[int], colours: Sequence[Colour]
    ) -> UInt8[np.ndarray, "S S 3"]:
        """Return the picture with some features, each in its colour."""
        return tinted(self.picture, [self._heat(feature) for feature in features], colours)

    def tile(
        self,
        features: Sequence[int],
        colours: Sequence[Colour],
        title: str,
        subtitle: str = "",
        side: int = TILE_SIDE,
    ) -> Tile:
        """Return the same as a captioned tile, without a spot of colour."""
        return Tile(shrunk(self.painted(features, colours), side), title, subtitle)

    def feature_tile(
        self, feature: int, its_colour: Colour, subtitle: str, side: int = TILE_SIDE
    ) -> Tile:
        """Return a single feature as a tile that names it, with a spot of its colour."""
        picture = shrunk(self.painted([feature], [its_colour]), side)
        return Tile(picture, f"feature {self.model.selected[feature]}", subtitle, its_colour)

    def input(self, subtitle: str = "", side: int = TILE_SIDE) -> Tile:
        """Return the bare picture as a tile."""
        return Tile(shrunk(self.picture, side), "input", subtitle)

    def _heat(self, feature: int) -> Float[np.ndarray, "S S"]:
        one_map = self.prediction.feature_maps[:, feature].numpy()
        return heat(one_map, self.model.grid, float(self.model.peak[feature]), SIDE)


@dataclass(frozen=True)
class Shown:
    """An image among others: its file, its true class, and what the model sees in it."""

    name: str
    label: int
    drawing: Drawing


def colours_of(model: TokenModel, order: Iterable[int]) -> dict[int, Colour]:
    """Return a colour for each feature that a page shows, its own if that is free."""
    return page_colours(model.classifier.weight.detach().cpu().numpy(), order)


def shrunk(picture: UInt8[np.ndarray, "S S 3"], side: int) -> UInt8[np.ndarray, "T T 3"]:
    """Return a square picture at another, smaller size."""
    resized = Image.fromarray(picture).resize((side, side), Image.Resampling.BOX)
    return np.asarray(resized)


def in_rows(tiles: Sequence[Tile], columns: int) -> list[Sequence[Tile]]:
    """Return tiles as rows of at most `columns`."""
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
