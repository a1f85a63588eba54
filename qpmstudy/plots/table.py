"""The paper's tables and figures: curves over a value, heat maps over two, dots over methods."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qpmstudy.plots.style import CYCLE, OTHER, plain, png

LABELS = 60
"""Configurations that have their name beside them, at most; of more than that every second, every
third and so on has."""


@dataclass(frozen=True)
class Series:
    """One metric over all configurations: ours with its deviation, and published values.

    NaN where there is none. Fractions come as percent.
    """

    name: str
    values: tuple[float, ...]
    deviations: tuple[float, ...]
    published: tuple[float, ...]


def lines_figure(
    series: Sequence[Series], x: Sequence[float], x_name: str, title: str, note: str
) -> bytes:
    """Return one panel a series over a numeric value; bars are deviations, crosses published.

    The axis is logarithmic (linear near 0) where positive values span more than a factor of 30.
    """
    figure, panels = _panels(series, title, note)
    order = np.argsort(x)
    positive = [value for value in x if value > 0]
    wide = len(positive) > 1 and max(positive) / min(positive) > _WIDE
    for colour, axes, one in zip(_colours(series), panels, series, strict=True):
        at = np.asarray(x, dtype=float)[order]
        values, deviations, paper = (
            np.asarray(part)[order] for part in (one.values, one.deviations, one.published)
        )
        axes.errorbar(at, values, np.nan_to_num(deviations), color=colour, marker="o", lw=1.5)
        axes.plot(at, paper, "x", color=OTHER)
        if wide:
            axes.set_xscale("symlog", linthresh=min(positive))
        axes.set_xlabel(plain(x_name))
        axes.set_ylabel(one.name)
        axes.grid(alpha=0.25)
    return png(figure)


def dots_figure(series: Sequence[Series], labels: Sequence[str], title: str, note: str) -> bytes:
    """Return one panel a series with a dot a configuration; bars are deviations, crosses published.

    Dots, because what is compared often lies close together, far from 0 where bars would begin.
    """
    figure, panels = _panels(series, title, note)
    at = np.arange(len(labels))
    for colour, axes, one in zip(_colours(series), panels, series, strict=True):
        axes.errorbar(one.values, at, xerr=np.nan_to_num(one.deviations), fmt="o", color=colour)
        axes.plot(one.published, at, "x", color="black")
        every = 1 + len(labels) // (LABELS + 1)
        axes.set_yticks(at[::every], [plain(label) for label in labels[::every]])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel(one.name)
        axes.grid(alpha=0.25)
    return png(figure)


def heat_figure(
    maps: Sequence[tuple[str, Float[np.ndarray, "Y X"]]],
    names: tuple[str, str],
    ticks: tuple[Sequence[object], Sequence[object]],
    title: str,
    note: str,
) -> bytes:
    """Return a heat map a metric, named, with the numbers in its cells; NaN leaves a cell empty.

    Names and ticks of the axes are (x, y).
    """
    across, down = len(ticks[0]), len(ticks[1])
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    figure = Figure(
        figsize=(columns * max(1.4 + 0.8 * across, 4.5), 0.6 + rows * max(1.3 + 0.5 * down, 2.8)),
        dpi=120,
        layout="constrained",
    )
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in grid[len(maps) :]:
        unused.remove()
    for axes, (name, values) in zip(grid, maps, strict=False):
        axes.imshow(values, cmap="viridis", aspect="auto", origin="lower")
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for (row, column), value in np.ndenumerate(values):
            if math.isnan(value):
                continue
            shade = "white" if value < middle else "black"
            words = f"{value:.1f}"
            axes.text(column, row, words, ha="center", va="center", color=shade, fontsize=9)
        axes.set_xticks(range(across), [plain(str(tick)) for tick in ticks[0]])
        axes.set_yticks(range(down), [plain(str(tick)) for tick in ticks[1]])
        axes.set_xlabel(plain(names[0]))
        axes.set_ylabel(plain(names[1]))
        axes.set_title(name, fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    return png(figure)


_WIDE = 30.0


def _colours(series: Sequence[Series]) -> list[str]:
    return [CYCLE[index % len(CYCLE)] for index in range(len(series))]


def _panels(series: Sequence[Series], title: str, note: str) -> tuple[Figure, list[Axes]]:
    columns = min(3, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(4.6 * columns, 0.6 + 3.2 * rows), dpi=120, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in grid[len(series) :]:
        unused.remove()
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    return figure, list(grid[: len(series)])
