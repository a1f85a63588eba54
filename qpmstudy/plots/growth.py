"""How the hypervolume of a front grows with every configuration that is finished."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qpmstudy.pareto import Growth
from qpmstudy.plots.style import BLUE, png


def growth_figure(growth: Growth, title: str, note: str) -> bytes:
    """Return a PNG of hypervolume over the number of configurations, with its band."""
    figure = Figure(figsize=(7.2, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(
        growth.counts, growth.low, growth.high, step="post", color=BLUE, alpha=0.2, lw=0
    )
    axes.step(growth.counts, growth.values, where="post", color=BLUE, lw=1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("configurations, in the order in which they were finished")
    axes.set_ylabel("hypervolume")
    axes.set_title(title, loc="left", fontsize=12)
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    axes.grid(alpha=0.25)
    return png(figure)
