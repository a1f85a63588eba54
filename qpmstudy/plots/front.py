"""The Pareto front of studies: one panel for each pair of objectives."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qpmstudy.plots.style import BLUE, ORANGE, OTHER, png

LIKELY = 0.05
"""Probability of being on the front from which on a point has a number."""


@dataclass(frozen=True)
class FrontPoint:
    """One configuration, in the units of the axes.

    Attributes:
        label: short: the trial.
        values: one for each objective.
        errors: standard errors; NaN where there is none.
        on_front: whether no other beats it.
        probability: of being on the front.
        knee: whether it is the knee.
        feasible: whether it keeps to the constraints.
    """

    label: str
    values: tuple[float, ...]
    errors: tuple[float, ...]
    on_front: bool
    probability: float
    knee: bool = False
    feasible: bool = True


@dataclass(frozen=True)
class Objective:
    """An axis: its name with the unit, and the bounds that constraints set on it."""

    name: str
    bounds: tuple[float, ...] = ()


def front_figure(
    points: Sequence[FrontPoint], objectives: Sequence[Objective], title: str, note: str
) -> bytes:
    """Return a PNG of all points. The front of two objectives is joined.

    Points that are surely off the front are small and without a number; a ring marks the knee,
    crosses what breaks a constraint, dotted lines the constraints.

    Raises:
        ValueError: there are fewer than two objectives.
    """
    pairs = list(itertools.combinations(range(len(objectives)), 2))
    if not pairs:
        raise ValueError("a front is drawn in two objectives at least")
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (7.2, 5.0) if len(pairs) == 1 else (5.0 * columns, 0.6 + 4.0 * rows)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    for place, pair in enumerate(pairs, start=1):
        axes = figure.add_subplot(rows, columns, place)
        _panel(axes, points, objectives, pair)
        if len(objectives) == 2:
            front = sorted(p.values for p in points if p.on_front)
            axes.plot([x for x, _ in front], [y for _, y in front], color=BLUE, lw=1, zorder=1)
    _legend(figure.axes[0], points)
    if len(pairs) == 1:
        figure.axes[0].set_title(title, loc="left", fontsize=12)
    else:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    return png(figure)


def _shade(point: FrontPoint) -> str:
    return BLUE if point.on_front else ORANGE if point.probability >= LIKELY else OTHER


def _legend(axes: Axes, points: Sequence[FrontPoint]) -> None:
    """Say what the colours and marks stand for that there are, if the front is not alone."""
    feasible = {_shade(point) for point in points if point.feasible}
    kinds = [
        Line2D([], [], color=shade, marker="o", ls="", label=words)
        for shade, words in (
            (BLUE, "on the front"),
            (ORANGE, "perhaps on it (how probably)"),
            (OTHER, "not on it"),
        )
        if shade in feasible
    ]
    if not all(point.feasible for point in points):
        kinds.append(Line2D([], [], color=OTHER, marker="x", ls="", label="breaks a constraint"))
    if len(kinds) > 1:
        axes.legend(handles=kinds, fontsize=8, framealpha=0.7)


def _panel(
    axes: Axes,
    points: Sequence[FrontPoint],
    objectives: Sequence[Objective],
    pair: tuple[int, int],
) -> None:
    x, y = pair
    known = [p for p in points if not math.isnan(p.values[x]) and not math.isnan(p.values[y])]
    for shade in (OTHER, ORANGE, BLUE):  # the best above the others
        for feasible in (True, False):
            mine = [p for p in known if _shade(p) == shade and p.feasible == feasible]
            _marks(axes, mine, pair, shade, "o" if feasible else "x")
    for point in known:
        at = point.values[x], point.values[y]
        if point.knee:
            axes.plot(*at, "o", ms=14, mfc="none", mec=BLUE, mew=1.5)
        if _shade(point) != OTHER:
            label = point.label if point.on_front else f"{point.label} ({point.probability:.0%})"
            beside = (6, 6) if point.on_front else (6, -12)  # what is near the front lies below it
            axes.annotate(
                label,
                at,
                xytext=beside,
                textcoords="offset points",
                fontsize=8,
                color=_shade(point),
            )
    for bound in objectives[x].bounds:
        axes.axvline(bound, color=OTHER, lw=1, ls=":")
    for bound in objectives[y].bounds:
        axes.axhline(bound, color=OTHER, lw=1, ls=":")
    axes.set_xlabel(objectives[x].name)
    axes.set_ylabel(objectives[y].name)
    axes.grid(alpha=0.25)
    axes.margins(0.1)


def _marks(
    axes: Axes, points: Sequence[FrontPoint], pair: tuple[int, int], shade: str, mark: str
) -> None:
    """Draw points that look alike: by one call for all, as a study may have thousands."""
    likely = shade != OTHER
    across, up = ([point.values[axis] for point in points] for axis in pair)
    wide, high = ([_bar(point.errors[axis]) for point in points] for axis in pair)
    axes.errorbar(
        across,
        up,
        xerr=wide,
        yerr=high,
        fmt=mark,
        color=shade,
        elinewidth=1 if likely else 0.5,
        markersize=6 if likely else 4,
        alpha=1 if likely else 0.6,
    )


def _bar(error: float) -> float:
    return 0.0 if math.isnan(error) else error
