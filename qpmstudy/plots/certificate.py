"""How an answer of the selection and its proof came about."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from qpmstudy.plots.style import BLUE, ORANGE, OTHER, png
from qpmstudy.selection import Progress

_SOONEST = 1e-3
"""Seconds: steps before this are drawn at it, since the axis is logarithmic."""


def certificate_figure(trace: Sequence[Progress], title: str) -> bytes:
    """Return a PNG of objective and bound over time, the gap between them shaded.

    Steps without a finite bound show the objective alone. Raises ValueError for an empty trace.
    """
    if not trace:
        raise ValueError("there is no step to draw")
    figure = Figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    seconds = [max(step.seconds, _SOONEST) for step in trace]
    objectives = [step.objective for step in trace]
    bounds = [step.bound if math.isfinite(step.bound) else math.nan for step in trace]
    axes.step(seconds, bounds, where="post", color=ORANGE, lw=1.5, marker=".", label="bound")
    axes.step(seconds, objectives, where="post", color=BLUE, lw=1.5, marker=".", label="objective")
    axes.fill_between(seconds, objectives, bounds, step="post", color=OTHER, alpha=0.15, lw=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds")
    axes.set_ylabel("objective")
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_title(f"gap {trace[-1].gap:.3%}", loc="right", fontsize=9, color="#555555")
    axes.legend(frameon=False, loc="center right")
    axes.grid(alpha=0.25)
    return png(figure)
