"""Global explanations as pages: what is on one, whichever way it is shown.

page_picture.py makes a PNG of it, page_html.py one self-contained HTML file.
"""

from dataclasses import dataclass

from qpmstudy.explain.captions import Tile
from qpmstudy.explain.overlays import Colour


@dataclass(frozen=True)
class Strip:
    """Tiles side by side, with words to their left; strips of a section stand in columns."""

    tiles: tuple[Tile, ...]
    label: str = ""
    words: str = ""
    spot: Colour | None = None


@dataclass(frozen=True)
class Figure:
    """A drawn figure as PNG, `WIDTH` pixels wide at most, and the same in words."""

    png: bytes
    alt: str


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        heading: of the section.
        words: paragraphs below it.
        legend: spots of colour, each with what it stands for.
        bands: what some columns have in common, each with how many columns that are.
        strips: tiles, row by row.
        figure: a figure instead of tiles.
    """

    heading: str
    words: tuple[str, ...] = ()
    legend: tuple[tuple[Colour, str], ...] = ()
    bands: tuple[tuple[str, int], ...] = ()
    strips: tuple[Strip, ...] = ()
    figure: Figure | None = None


@dataclass(frozen=True)
class Page:
    """A whole explanation."""

    title: str
    words: tuple[str, ...]
    sections: tuple[Section, ...]


WIDTH = 1200
"""Pixels of a page as a picture."""
MARGIN, GAP, LABEL = 24, 8, 190
"""Pixels around it, between tiles, and of the column of words beside them."""


def signed(value: float) -> str:
    """Return a number with its sign and two digits; nothing is "-0.00"."""
    return f"{round(value, 2) + 0.0:+.2f}"


def side_of(columns: int, labelled: bool, largest: int = 260) -> int:
    """Return how large the pictures of `columns` tiles may be, so that they fit side by side."""
    room = WIDTH - 2 * MARGIN - (LABEL + GAP if labelled else 0)
    return min(largest, (room - (columns - 1) * GAP) // columns)
