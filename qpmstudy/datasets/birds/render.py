"""One image of a bird, with its object mask and the places of its parts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFilter

from qpmstudy.datasets.birds.attributes import Code
from qpmstudy.datasets.birds.backgrounds import (
    BACKGROUNDS,
    Background,
    draw_blobs,
    fill,
    leaf,
    perch,
    texture,
)
from qpmstudy.datasets.birds.shapes import (
    PARTS,
    bird_shapes,
    random_palette,
    random_pose,
)

SIZE = 224
CANVAS = 2 * SIZE  # drawn at twice the size, then averaged: edges without stairs


@dataclass(frozen=True)
class Rendered:
    """A bird's picture, where it is, and where its parts are.

    Attributes:
        image: RGB picture.
        mask: pixels where the bird is seen.
        parts: part to the (x, y) of one of its pixels, the nearest to the centre of what is
            seen of it; parts out of the picture or covered are absent.
    """

    image: Image.Image
    mask: Bool[np.ndarray, "H W"]
    parts: dict[str, tuple[int, int]]


def background_of_class(class_index: int, seed: int) -> str:
    """Return the background that a class prefers; all six are used equally often."""
    turn, place = divmod(class_index, len(BACKGROUNDS))
    return str(np.random.default_rng([seed, turn]).permutation(list(BACKGROUNDS))[place])


def render(code: Code, preferred: str, rho: float, generator: np.random.Generator) -> Rendered:
    """Return a bird with the attributes `code`.

    With probability `rho` its background is `preferred`, otherwise any of the six.
    """
    chosen = preferred if generator.random() < rho else str(generator.choice(list(BACKGROUNDS)))
    scene, parts = _scene(code, BACKGROUNDS[chosen], generator)
    return Rendered(_photograph(scene, generator), parts > 0, _part_places(parts))


def _scene(
    code: Code, background: Background, generator: np.random.Generator
) -> tuple[Image.Image, UInt8[np.ndarray, "224 224"]]:
    """Return the scene in even light, and the number of the part seen at every pixel."""
    canvas = texture(background, generator, SIZE).resize((CANVAS, CANVAS), Image.Resampling.NEAREST)
    part_ids = Image.new("L", canvas.size)
    draw, draw_id = ImageDraw.Draw(canvas), ImageDraw.Draw(part_ids)
    draw_blobs(draw, background, generator, CANVAS)
    pose = random_pose(generator, SIZE)
    if generator.random() < 0.6:
        foot = 2 * pose.pixels(np.array([[0.06, 0.45]]))[0]
        fill(draw, *perch(generator, foot, CANVAS))
    for shape in bird_shapes(code, random_palette(generator), generator):
        points = 2 * pose.pixels(shape.points)
        fill(draw, points, shape.colour)
        draw_id.polygon(points.ravel().tolist(), fill=PARTS.index(shape.part) + 1)
    if generator.random() < 0.15:
        for _ in range(int(generator.integers(1, 2, endpoint=True))):
            centre = 2 * pose.pixels(generator.uniform((-0.6, -0.4), (0.6, 0.3))[None])[0]
            points, colour = leaf(generator, centre)
            fill(draw, points, colour)
            draw_id.polygon(points.ravel().tolist(), fill=0)
    # One sample in four: a pixel is the bird's where about half of it is.
    return canvas.reduce(2), np.asarray(part_ids)[1::2, 1::2]


def _photograph(scene: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return `scene` under random light, sometimes out of focus, with sensor noise."""
    gain = generator.uniform(0.88, 1.12) * (1 + generator.normal(0, 0.03, 3))
    across, down = generator.normal(0, 0.10, 2)
    ramp = np.linspace(-1, 1, SIZE)
    light = (1 + (across * ramp + down * ramp[:, None]) / 2)[:, :, None] * gain
    lit = _eight_bit(np.asarray(scene) * light.astype(np.float32))
    if generator.random() < 0.3:
        lit = lit.filter(ImageFilter.GaussianBlur(generator.uniform(0.4, 1.1)))
    noise = generator.standard_normal((SIZE, SIZE, 3), dtype=np.float32)
    return _eight_bit(np.asarray(lit) + noise * np.float32(generator.uniform(1, 7)))


def _eight_bit(levels: Float[np.ndarray, "H W 3"]) -> Image.Image:
    """Return levels of 0 to 255, and what is beyond them, as a picture."""
    # Adding a half and cutting off is rounding, without a pass over the array for it.
    return Image.fromarray((levels + np.float32(0.5)).clip(0, 255).astype(np.uint8))


def _part_places(parts: UInt8[np.ndarray, "H W"]) -> dict[str, tuple[int, int]]:
    """Return one pixel (x, y) of every part that is seen."""
    pixels = np.argwhere(parts)
    numbers = parts[pixels[:, 0], pixels[:, 1]]
    places = {}
    for number, part in enumerate(PARTS, start=1):
        seen = pixels[numbers == number]
        if len(seen):
            distance = ((seen - seen.mean(axis=0)) ** 2).sum(axis=1)
            row, column = seen[distance.argmin()].tolist()
            places[part] = (column, row)
    return places
