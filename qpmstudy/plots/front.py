"""The Pareto front of a study."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from qpmstudy.plots.style import BLUE, OTHER, png


@dataclass(frozen=True)
class FrontPoint:
    """One configuration in the plane of two objectives, as fractions."""

    label: str
    x: float
    y: float
    x_error: float  # standard error; NaN where there is none
    y_error: float
    on_front: bool


def front_figure(
    points: Sequence[FrontPoint], x_name: str, y_name: str, title: str, note: str
) -> bytes:
    """Return a PNG of all points in percent, the front joined in the order of its x."""
    figure = Figure(figsize=(7.2, 5.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for point in points:
        shade = BLUE if point.on_front else OTHER
        axes.errorbar(
            100 * point.x,
            100 * point.y,
            xerr=_bar(point.x_error),
            yerr=_bar(point.y_error),
            fmt="o",
            color=shade,
            elinewidth=1,
            markersize=6,
        )
        axes.annotate(
            point.label,
            (100 * point.x, 100 * point.y),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize=8,
            color=shade,
        )
    front = sorted((p for p in points if p.on_front), key=lambda p: p.x)
    axes.plot([100 * p.x for p in front], [100 * p.y for p in front], color=BLUE, lw=1)
    axes.set_xlabel(f"{x_name.replace('_', ' ')} (%)")
    axes.set_ylabel(f"{y_name.replace('_', ' ')} (%)")
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_title(note, loc="right", fontsize=8, color="#555555")
    axes.grid(alpha=0.25)
    axes.margins(0.12)
    return png(figure)


def _bar(error: float) -> float:
    return 0.0 if math.isnan(error) else 100 * error
