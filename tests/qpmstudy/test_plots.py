"""The picture of a front."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from qpmstudy.plots import FrontPoint, certificate_figure, front_figure
from qpmstudy.selection import Progress

POINTS = [
    FrontPoint("l1_fm 0", 0.7, 0.5, 0.01, 0.02, on_front=True),
    FrontPoint("l1_fm 5", 0.6, 0.8, math.nan, math.nan, on_front=True),
    FrontPoint("l1_fm 9", 0.5, 0.6, 0.01, 0.02, on_front=False),
]


def pixels(points: list[FrontPoint]) -> np.ndarray:
    picture = front_figure(points, "accuracy", "plausibility", "study", "validation split")
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def blue(picture: np.ndarray) -> int:
    """Return how many pixels have the front's colour."""
    return int((np.abs(picture - [0, 114, 178]).sum(2) < 30).sum())


def test_the_front_is_joined_and_coloured() -> None:
    both = pixels(POINTS)
    assert both.shape == (750, 1080, 3)
    alone = pixels([POINTS[0], replace(POINTS[1], on_front=False), POINTS[2]])
    none = pixels([replace(point, on_front=False) for point in POINTS])
    assert blue(both) > blue(alone) > blue(none) == 0


def test_the_same_points_give_the_same_picture() -> None:
    assert np.array_equal(pixels(POINTS), pixels(POINTS))


@pytest.mark.parametrize(
    "points", [[], POINTS[:1], [replace(POINTS[0], x=math.nan)], [POINTS[0]] * 2]
)
def test_odd_fronts_are_drawn(points: list[FrontPoint]) -> None:
    assert pixels(points).min() < 100


def trace(*steps: tuple[float, float, float]) -> list[Progress]:
    return [Progress(*step) for step in steps]


def shade(picture: bytes, colour: tuple[int, int, int]) -> int:
    """Return how many pixels of a PNG have a colour."""
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return int((np.abs(pixels - colour).sum(2) < 30).sum())


def test_objective_and_bound_of_a_selection_are_drawn() -> None:
    steps = trace((0.0, 1.0, math.inf), (0.1, 2.0, 4.0), (2.0, 2.5, 2.6))
    picture = certificate_figure(steps, "selection")
    objective, bound = (0, 114, 178), (213, 94, 0)
    assert shade(picture, objective) > 200
    assert shade(picture, bound) > 200
    unbounded = certificate_figure(trace((0.0, 1.0, math.inf), (1.0, 2.0, math.inf)), "selection")
    assert shade(unbounded, objective) > 200
    assert shade(unbounded, bound) < shade(picture, bound)
    with pytest.raises(ValueError, match="no step to draw"):
        certificate_figure([], "selection")
