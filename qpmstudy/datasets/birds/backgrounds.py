"""What is behind the bird and in front of it.

Blobs take the colours of the birds' parts, so that a colour alone does not show where a bird is.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from qpmstudy.datasets.birds.shapes import PALETTE, Colour, Points, ellipse

LEAVES = np.array([(70, 104, 44), (98, 128, 58), (52, 82, 40)], dtype=np.float64)


@dataclass(frozen=True)
class Background:
    """A texture and the blobs on it.

    Attributes:
        colours: darkest to lightest, mixed by noise.
        cells: rows and columns of the coarsest noise; unequal numbers make streaks.
        blobs: range of how many there are.
        radius: range of their half-width, pixels.
        flat: their height over their width.
        blob_colours: what a blob is painted with.
    """

    colours: tuple[tuple[int, int, int], ...]
    cells: tuple[int, int]
    blobs: tuple[int, int]
    radius: tuple[float, float]
    flat: float
    blob_colours: tuple[Colour, ...]


def _worn(*names: str) -> tuple[Colour, ...]:
    """Return colours of the birds' palette."""
    return tuple(PALETTE[name] for name in names)


# The blobs set how hard the task is. On the preset "birds", a dense model of the embedded study
# reached 58 %; with a third fewer in fewer colours 63 %, with a third more and larger ones 48 %.
BACKGROUNDS = {
    "sky": Background(
        ((112, 150, 202), (150, 182, 220), (226, 230, 234)),
        (2, 2), (6, 18), (4.0, 15.0), 0.5, _worn("white", "gray", "blue", "black", "yellow", "red"),
    ),
    "foliage": Background(
        ((38, 58, 30), (74, 104, 46), (138, 156, 84)),
        (5, 5), (26, 56), (4.0, 14.0), 0.55, (*LEAVES, *_worn("olive", "yellow", "black", "red")),
    ),
    "bark": Background(
        ((58, 44, 36), (112, 88, 66), (160, 142, 120)),
        (3, 14), (11, 28), (3.0, 11.0), 1.6, _worn("brown", "black", "gray", "olive", "yellow"),
    ),
    "water": Background(
        ((54, 84, 112), (92, 126, 150), (170, 192, 200)),
        (14, 3), (11, 28), (4.0, 15.0), 0.35, _worn("white", "blue", "gray", "black", "yellow"),
    ),
    "sand": Background(
        ((150, 124, 88), (192, 168, 126), (222, 204, 168)),
        (4, 4), (20, 48), (2.5, 10.0), 0.75,
        _worn("gray", "brown", "white", "black", "yellow", "red"),
    ),
    "flowers": Background(
        ((46, 74, 34), (86, 118, 56), (120, 148, 78)),
        (5, 5), (20, 42), (4.0, 12.0), 0.9, _worn("red", "yellow", "white", "blue", "black"),
    ),
}  # fmt: skip


def texture(background: Background, generator: np.random.Generator, size: int) -> Image.Image:
    """Return a picture of `size` x `size` pixels without its blobs."""
    height = np.zeros((size, size), dtype=np.float32)
    for octave in range(4):
        rows, columns = (cells * 2**octave + 1 for cells in background.cells)
        grid = generator.standard_normal((rows, columns), dtype=np.float32)
        smooth = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)
        height += 0.6**octave * np.asarray(smooth)
    # The shares of darkest and lightest change from picture to picture.
    levels = np.clip(0.5 + 0.28 * height + generator.normal(0, 0.12), 0, 1)
    shift = generator.normal(0, 7, 3)
    # 256 levels of colour, looked up: a picture has no more.
    steps = np.linspace(0, 1, len(background.colours))
    table = np.stack(
        [
            np.interp(np.linspace(0, 1, 256), steps, channel)
            for channel in zip(*background.colours, strict=True)
        ],
        axis=1,
    )
    colours = (table + shift).clip(0, 255).astype(np.uint8)
    return Image.fromarray(colours[(levels * 255).astype(np.uint8)])


def draw_blobs(
    draw: ImageDraw.ImageDraw, background: Background, generator: np.random.Generator, size: int
) -> None:
    """Draw the background's blobs on a canvas of `size` x `size` pixels, twice the image's."""
    for _ in range(int(generator.integers(*background.blobs, endpoint=True))):
        width = 2 * generator.uniform(*background.radius)
        height = width * background.flat * generator.uniform(0.7, 1.3)
        outline = _turned(ellipse((0.0, 0.0), (width, height)), generator.normal(0, 0.5))
        place = generator.uniform(0, size, 2)
        colour = background.blob_colours[int(generator.integers(len(background.blob_colours)))]
        fill(draw, outline + place, colour + generator.normal(0, 12, 3))


def perch(
    generator: np.random.Generator, foot: Float[np.ndarray, "2"], size: int
) -> tuple[Points, Colour]:
    """Return the outline and colour of a branch below the point `foot`, across the canvas."""
    slope, half = generator.normal(0, 0.06), generator.uniform(6, 13)
    ends = np.array([-20.0, size + 20.0])
    line = foot[1] + half + slope * (ends - foot[0])
    top, bottom = line - half, line + half * generator.uniform(0.7, 1.0, 2)
    outline = np.array([(ends[0], top[0]), (ends[1], top[1]), (ends[1], bottom[1]),
                        (ends[0], bottom[0])])  # fmt: skip
    return outline, PALETTE[("brown", "gray", "dark")[int(generator.integers(3))]]


def leaf(generator: np.random.Generator, centre: Float[np.ndarray, "2"]) -> tuple[Points, Colour]:
    """Return the outline and colour of a pointed leaf in front of the bird."""
    along = np.linspace(0, np.pi, 12)
    length, width = generator.uniform(26, 48), generator.uniform(9, 17)
    upper = np.stack([-length * np.cos(along), width * np.sin(along) ** 1.5], axis=1)
    outline = np.concatenate([upper, upper[::-1] * (1, -1)])
    turned = _turned(outline, generator.uniform(0, 2 * np.pi))
    return turned + centre, LEAVES[int(generator.integers(len(LEAVES)))]


def fill(draw: ImageDraw.ImageDraw, points: Points, colour: Colour) -> None:
    """Fill a polygon with a colour, cut to what a picture can show."""
    red, green, blue = colour.round().clip(0, 255).astype(int).tolist()
    draw.polygon(points.ravel().tolist(), fill=(red, green, blue))


def _turned(points: Points, angle: float) -> Points:
    """Return `points` turned about the origin."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned: Points = points @ np.array([[cos, sin], [-sin, cos]])
    return turned
