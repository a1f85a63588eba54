"""What all figures have in common. Colours stay apart for colour-blind readers (Okabe, Ito)."""

import io

from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK, OTHER = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#9a9a9a"
CYCLE = (BLUE, ORANGE, GREEN, PINK, "#e69f00", "#56b4e9")


def plain(name: str) -> str:
    """Return a name as matplotlib is to take it: a "$" starts no formula."""
    return name.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG, its axes without a frame."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
