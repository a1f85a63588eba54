"""How the hypervolume of a front grows with every configuration that is finished."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qpmstudy.pareto import Growth
from qpmstudy.plots.style import BLUE, png


def growth_figure(growth: Growth, title: str, note: str) -> bytes:
    """Return a PNG of hypervolume over the number of configurations, with its band.

    What the last one gave goes on for half a configuration, or nobody would see it.
    """
    counts = np.append(growth.counts, growth.counts[-1] + 0.5)
    low, values, high = (np.append(v, v[-1]) for v in (growth.low, growth.values, growth.high))
    figure = Figure(figsize=(7.2, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(counts, low, high, step="post", color=BLUE, alpha=0.2, lw=0)
    axes.step(counts, values, where="post", color=BLUE, lw=1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("configurations, in the order in which they were finished")
    axes.set_ylabel("hypervolume")
    axes.set_title(title, loc="left", fontsize=12)
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    axes.grid(alpha=0.25)
    return png(figure)
