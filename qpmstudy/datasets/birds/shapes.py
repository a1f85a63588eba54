"""The polygons of one bird, and how it is posed in the image.

Units are body lengths with the origin at the body's centre, x towards the beak, y down.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from qpmstudy.datasets.birds.attributes import Code

# In drawing order. The position of a part, from 1, is its id in parts.txt and in masks.
PARTS = (
    "legs",
    "tail",
    "body",
    "breast",
    "wing",
    "head",
    "throat",
    "crown",
    "beak",
    "eye",
)

Colour = Float[np.ndarray, "3"]  # RGB, 0 to 255
Points = Float[np.ndarray, "n 2"]

PALETTE: dict[str, Colour] = {
    name: np.array(rgb, dtype=np.float64)
    for name, rgb in {
        "brown": (124, 84, 52),
        "gray": (128, 130, 134),
        "olive": (118, 124, 58),
        "blue": (66, 98, 168),
        "red": (200, 42, 36),
        "black": (28, 27, 30),
        "yellow": (234, 198, 52),
        "white": (238, 236, 228),
        "dark": (58, 46, 40),
        "horn": (150, 118, 62),
    }.items()
}

_ANGLES = np.linspace(0, 2 * np.pi, 36, endpoint=False)
CIRCLE: Points = np.stack([np.cos(_ANGLES), -np.sin(_ANGLES)], axis=1)
UPPER_HALF: Points = CIRCLE[: len(CIRCLE) // 2 + 1]


class Shape(NamedTuple):
    """A filled polygon that belongs to a part."""

    part: str
    colour: Colour
    points: Points


@dataclass(frozen=True)
class Pose:
    """Where the bird stands: body lengths to pixels, in the 224-pixel image."""

    matrix: Float[np.ndarray, "2 2"]
    centre: Float[np.ndarray, "2"]

    def pixels(self, points: Points) -> Points:
        """Return where `points`, in body lengths, lie in the image."""
        pixels: Points = points @ self.matrix.T + self.centre
        return pixels


def random_pose(generator: np.random.Generator, size: int) -> Pose:
    """Return a pose in an image of `size` x `size` pixels."""
    length = generator.uniform(85, 122)
    angle = np.deg2rad(generator.normal(0, 7))
    stretch = 1 + generator.normal(0, 0.06, 2)
    flip = -1.0 if generator.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = length * turn @ np.diag(stretch * (flip, 1))
    return Pose(matrix, size / 2 + generator.uniform((-34, -30), (34, 30)))


def random_palette(generator: np.random.Generator) -> dict[str, Colour]:
    """Return the palette as one bird wears it: each colour a little lighter and shifted."""
    return {
        name: colour + generator.normal(0, 6.6) + generator.normal(0, 4, 3)
        for name, colour in PALETTE.items()
    }


def bird_shapes(
    code: Code, palette: dict[str, Colour], generator: np.random.Generator
) -> list[Shape]:
    """Return the polygons of a bird in drawing order.

    Crown and throat of the body's colour are drawn all the same, so that they have a place in
    the part locations.
    """
    body = palette[code.body]
    head = np.array([0.45, -0.30]) + generator.normal(0, 0.035, 2)
    throat = body if code.throat == "same" else palette[code.throat]
    crown = body if code.crown == "same" else palette[code.crown]
    beak = head + np.array([(0.17, -0.06), (0.17 + 0.17, 0.02), (0.16, 0.07)])
    return [
        *_legs(palette),
        *_tail(code, palette, generator),
        Shape("body", body, ellipse((0.0, 0.0), (0.5, 0.28))),
        *_breast(code, palette),
        *_wing(code, palette),
        Shape("head", body, ellipse(head, (0.20, 0.185))),
        Shape("throat", throat, ellipse(np.add(head, (0.045, 0.125)), (0.135, 0.105))),
        Shape("crown", crown, ellipse(head, (0.20, 0.185), UPPER_HALF)),
        Shape("beak", palette["horn"], beak),
        Shape("eye", palette["white"], ellipse(np.add(head, (0.07, -0.01)), (0.034, 0.034))),
        Shape("eye", palette["black"], ellipse(np.add(head, (0.075, -0.01)), (0.025, 0.025))),
    ]


def ellipse(
    centre: Float[np.ndarray, "2"] | tuple[float, float],
    half_axes: tuple[float, float],
    arc: Points = CIRCLE,
) -> Points:
    """Return an ellipse, or an arc of it, as a polygon."""
    outline: Points = np.asarray(half_axes) * arc + np.asarray(centre)
    return outline


def _legs(palette: dict[str, Colour]) -> list[Shape]:
    """Return two legs with a foot each."""
    legs = []
    for x in (0.0, 0.12):
        for quad in (
            [(x, 0.22), (x + 0.028, 0.22), (x + 0.022, 0.45), (x - 0.006, 0.45)],
            [(x - 0.03, 0.435), (x + 0.08, 0.435), (x + 0.08, 0.46), (x - 0.03, 0.46)],
        ):
            legs.append(Shape("legs", palette["dark"], np.array(quad)))
    return legs


def _tail(code: Code, palette: dict[str, Colour], generator: np.random.Generator) -> list[Shape]:
    """Return the tail, which widens away from the body, and its white tip."""
    length = {"short": 0.30, "long": 0.55, "fork": 0.48, "tipped": 0.42}[code.tail]
    length *= generator.uniform(0.9, 1.1)
    half = generator.uniform(0.09, 0.11)

    def across(share: float, side: int) -> tuple[float, float]:
        """Return the point at `share` of the tail's length, on one edge (side -1 or 1)."""
        width = half * (0.75 + 0.25 * share)
        return -0.40 - length * share, 0.02 + 0.12 * length * share + side * width

    outline = [across(0.0, -1), across(1.0, -1), across(1.0, 1), across(0.0, 1)]
    if code.tail == "fork":
        outline.insert(2, across(0.62, 0))
    # The root lies under the body.
    shapes = [Shape("tail", palette[code.body], np.array([*outline, (-0.25, 0.05)]))]
    if code.tail == "tipped":
        tip = [across(0.62, -1), across(1.0, -1), across(1.0, 1), across(0.62, 1)]
        shapes.append(Shape("tail", palette["white"], np.array(tip)))
    return shapes


def _breast(code: Code, palette: dict[str, Colour]) -> list[Shape]:
    """Return the white breast and its markings, all inside its ellipse."""
    x, y, a, b = 0.16, 0.07, 0.33, 0.19
    dark = palette["dark"]
    shapes = [Shape("breast", palette["white"], ellipse((x, y), (a, b)))]

    def inside(u: float, v: float) -> tuple[float, float]:
        """Return the point at shares (u, v) of the ellipse's width and local height."""
        return x + a * u, y + b * v * float(np.sqrt(1 - u * u))

    if code.breast == "streak":
        for u in np.linspace(-0.75, 0.85, 6):
            for top, bottom in ((-0.55, 0.02), (0.25, 0.82)):
                (x0, y0), (x1, y1) = inside(u, top), inside(u, bottom)
                quad = [(x0 - 0.01, y0), (x0 + 0.012, y0), (x1 + 0.002, y1), (x1 - 0.02, y1)]
                shapes.append(Shape("breast", dark, np.array(quad)))
    elif code.breast == "spot":
        for u in np.linspace(-0.6, 0.82, 5):
            for v in (-0.35, 0.2, 0.75):
                shapes.append(Shape("breast", dark, ellipse(inside(u, v), (0.021, 0.021))))
    elif code.breast == "band":
        low, high = inside(0.30, 0.97), inside(0.62, -0.97)
        wide = np.array([0.05, 0])
        band = np.array([low - wide, high - wide, high + wide, low + wide])
        shapes.append(Shape("breast", dark, band))
    return shapes


def _wing(code: Code, palette: dict[str, Colour]) -> list[Shape]:
    """Return the wing and what is white on it."""
    centre = (-0.14, -0.06)
    colour = palette["black"] if code.wing == "black" else 0.82 * palette[code.body]
    shapes = [Shape("wing", colour, ellipse(centre, (0.37, 0.165)))]
    if code.wing == "bars":
        for left in (-0.12, 0.06):
            quad = [(left, -0.13), (left + 0.07, -0.13), (left + 0.03, 0.125), (left - 0.04, 0.125)]
            shapes.append(Shape("wing", palette["white"], np.array(quad) + np.array(centre)))
    elif code.wing == "patch":
        shapes.append(Shape("wing", palette["white"], ellipse(centre, (0.13, 0.085))))
    return shapes
