"""The picture of a front."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from qpmstudy.pareto import Growth
from qpmstudy.plots import (
    FrontPoint,
    Objective,
    Series,
    certificate_figure,
    dots_figure,
    front_figure,
    growth_figure,
    heat_figure,
    importance_figure,
    lines_figure,
)
from qpmstudy.selection import Progress

POINTS = [
    FrontPoint("0", (70.0, 50.0), (1.0, 2.0), on_front=True, probability=1.0),
    FrontPoint("1", (60.0, 80.0), (math.nan, math.nan), on_front=True, probability=1.0),
    FrontPoint("2", (50.0, 60.0), (1.0, 2.0), on_front=False, probability=0.0),
]

AXES = [Objective("accuracy (%)"), Objective("plausibility (%)")]


def pixels(points: list[FrontPoint]) -> np.ndarray:
    picture = front_figure(points, AXES, "study", "validation split")
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
    "points", [[], POINTS[:1], [replace(POINTS[0], values=(math.nan, 1.0))], [POINTS[0]] * 2]
)
def test_odd_fronts_are_drawn(points: list[FrontPoint]) -> None:
    assert pixels(points).min() < 100


def test_a_knee_has_a_ring_a_likely_point_a_number_and_a_bound_a_line() -> None:
    plain = pixels(POINTS)
    assert blue(pixels([replace(POINTS[0], knee=True), *POINTS[1:]])) > blue(plain)
    orange = (213, 94, 0)
    likely = front_figure([*POINTS[:2], replace(POINTS[2], probability=0.3)], AXES, "s", "n")
    assert shade(likely, orange) > 0
    assert shade(front_figure(POINTS, AXES, "s", "n"), orange) == 0
    bounded = front_figure(POINTS, [Objective("a", (65.0,)), Objective("b")], "s", "n")
    assert shade(bounded, (154, 154, 154)) > shade(
        front_figure(POINTS, [Objective("a"), Objective("b")], "s", "n"), (154, 154, 154)
    )


def test_three_objectives_are_three_panels_and_one_is_none() -> None:
    points = [replace(p, values=(*p.values, 1.0), errors=(*p.errors, 0.1)) for p in POINTS]
    with Image.open(io.BytesIO(front_figure(points, [*AXES, Objective("c")], "s", "n"))) as image:
        assert image.width > 2 * image.height
    with pytest.raises(ValueError, match="two objectives at least"):
        front_figure(POINTS, AXES[:1], "s", "n")


def test_growth_and_importance_are_drawn() -> None:
    values = np.array([0.1, 0.3, 0.3])
    drawn = growth_figure(Growth(np.arange(1, 4), values, values - 0.05, values + 0.05), "s", "n")
    assert shade(drawn, (0, 114, 178)) > 1000
    shares = {"accuracy": {"a": 0.9, "b": 0.1}, "front": {"b": 0.5, "a": 0.5}}
    both, one = (importance_figure(s, "s", "n") for s in (shares, {"front": shares["front"]}))
    assert shade(both, (213, 94, 0)) > shade(one, (213, 94, 0)) == 0


def test_names_of_others_are_no_formulas() -> None:
    name = r"$\nothing$ and $^"
    shares = {"accuracy": {name: 0.9, "b": 0.1}}
    one = Series("accuracy", (1.0, 2.0), (0.1, 0.1), (math.nan, math.nan))
    for picture in (
        importance_figure(shares, "s", "n"),
        dots_figure([one], [name, "b"], "s", "n"),
        lines_figure([one], [1.0, 2.0], name, "s", "n"),
        heat_figure([("accuracy", np.eye(2))], (name, name), ([name, 1], [name, 1]), "s", "n"),
    ):
        with Image.open(io.BytesIO(picture)) as image:
            assert np.asarray(image.convert("L")).std() > 5


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
