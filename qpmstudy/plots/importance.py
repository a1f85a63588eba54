"""How much each parameter decides, for several targets side by side."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from qpmstudy.plots.style import CYCLE, plain, png


def importance_figure(shares: Mapping[str, Mapping[str, float]], title: str, note: str) -> bytes:
    """Return a PNG with a group of bars a parameter, one bar a target, in percent.

    Args:
        shares: of each parameter, by target ("accuracy", "front").
        title: above the figure.
        note: below it.
    """
    targets = list(shares)
    names = sorted(
        dict.fromkeys(name for found in shares.values() for name in found),
        key=lambda name: -max(found.get(name, 0.0) for found in shares.values()),
    )
    height = 0.8 / max(1, len(targets))
    figure = Figure(
        figsize=(7.2, 1.4 + 0.28 * len(names) * max(1, len(targets))), dpi=150, layout="constrained"
    )
    axes = figure.add_subplot()
    at = np.arange(len(names))
    for index, target in enumerate(targets):
        values = [100 * shares[target].get(name, 0.0) for name in names]
        place = at + (index - (len(targets) - 1) / 2) * height
        bars = axes.barh(place, values, height * 0.9, color=CYCLE[index % len(CYCLE)], label=target)
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
    axes.set_yticks(at, [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.set_xlim(left=0)
    axes.set_xlabel("importance (%)")
    axes.set_title(title, loc="left", fontsize=12)
    axes.legend(
        frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(targets), fontsize=8
    )
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    axes.grid(axis="x", alpha=0.25)
    return png(figure)
