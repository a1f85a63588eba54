"""Captioned tiles: pictures side by side, each with a few words above it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from qpmstudy.explain.overlays import Colour

CAPTION_HEIGHT = 40
GAP = 8
INK: Colour = (32, 32, 32)


@dataclass(frozen=True)
class Tile:
    """A square picture with up to two lines above it, the first beside a spot of colour."""

    picture: UInt8[np.ndarray, "S S 3"]
    title: str
    subtitle: str = ""
    spot: Colour | None = None


def sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Return all tiles on white, row by row; all pictures have the same size."""
    side = rows[0][0].picture.shape[0]
    columns = max(len(row) for row in rows)
    width = GAP + columns * (side + GAP)
    height = GAP + len(rows) * (CAPTION_HEIGHT + side + GAP)
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            x = GAP + c * (side + GAP)
            y = GAP + r * (CAPTION_HEIGHT + side + GAP)
            _caption(draw, tile, x, y, side)
            page.paste(Image.fromarray(tile.picture), (x, y + CAPTION_HEIGHT))
    return page


def _caption(draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, width: int) -> None:
    left = x
    if tile.spot is not None:
        draw.rectangle((x, y + 3, x + 11, y + 14), fill=tile.spot, outline=INK)
        left += 17
    draw.text((left, y), _fitted(draw, tile.title, x + width - left, 15), INK, _font(15))
    draw.text((x, y + 20), _fitted(draw, tile.subtitle, width, 13), INK, _font(13))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """Return the text, shortened until it fits into `width` pixels."""
    if draw.textlength(text, _font(size)) <= width:
        return text
    while text and draw.textlength(text + "…", _font(size)) > width:
        text = text[:-1]
    return text + "…"
