"""A feature: where it fires, and which classes use it (paper Fig. 14-17)."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure as Drawn

from qpmstudy.explain.captions import Tile
from qpmstudy.explain.drawing import Shown, colours_of, shrunk
from qpmstudy.explain.page import MARGIN, WIDTH, Figure, Page, Section, Strip, side_of
from qpmstudy.inference import TokenModel
from qpmstudy.plots.style import BLUE, OTHER, plain, png

DPI = 150
CROP = 3 / 8
"""Side of a crop as a share of the picture's."""
BARS = 24


def feature_page(
    model: TokenModel,
    feature: int,
    strength: Float[np.ndarray, " C"],
    groups: Sequence[tuple[str, str, Sequence[Shown]]],
    said: Sequence[str] = (),
) -> Page:
    """Return the page of a feature, meant by its column.

    Args:
        model: the model.
        feature: the column.
        strength: its mean strength over each class's images, NaN where there are none.
        groups: images, each group with its heading and what it is in words.
        said: what else is to be said, such as which images those are.
    """
    weight = model.classifier.weight[:, feature].detach().cpu().numpy()
    users = np.flatnonzero(weight)
    number = model.selected[feature]
    binary = bool(np.isin(weight, (0, 1)).all())
    each = ", each with weight 1" if binary else ""
    words = [f"{len(users)} of {len(weight)} classes use it{each}."]
    if not binary:
        weights = (f"{model.class_names[label]} {weight[label]:+.2f}" for label in users)
        words.append(f"Weights: {', '.join(weights)}.")
    words += ["Strength 1.00 is its usual peak over the training images.", *said]
    sections = [
        Section(
            "How strongly it fires, by class",
            figure=Figure(
                strength_figure(model.class_names, strength, weight),
                _in_words(model.class_names, strength, weight),
            ),
        )
    ]
    for heading, which, shown in groups:
        if shown:
            sections.append(Section(heading, (which,), strips=_strips(feature, shown)))
    return Page(f"Feature {number}", tuple(words), tuple(sections))


def crop_at(
    picture: UInt8[np.ndarray, "S S 3"], place: tuple[float, float], share: float = CROP
) -> UInt8[np.ndarray, "T T 3"]:
    """Return a square part of a picture around a place (row, column; shares of its side).

    It is moved as far as it must be to lie inside.
    """
    whole = len(picture)
    side = round(share * whole)
    top, left = (int(np.clip(round(at * whole - side / 2), 0, whole - side)) for at in place)
    return picture[top : top + side, left : left + side]


def strength_figure(
    names: Sequence[str], strength: Float[np.ndarray, " C"], weight: Float[np.ndarray, " C"]
) -> bytes:
    """Return bars of a feature's mean strength: the classes that use it, then the strongest others.

    At most `BARS` of them.
    """
    kept = _ranked(strength, weight)[:BARS]
    figure = Drawn(
        figsize=((WIDTH - 2 * MARGIN) / DPI, 0.9 + 0.24 * len(kept)), dpi=DPI, layout="constrained"
    )
    axes = figure.add_subplot()
    used = weight[kept] != 0
    for group, shade, words in ((used, BLUE, "use it"), (~used, OTHER, "do not use it")):
        at = np.flatnonzero(group)
        if len(at):
            bars = axes.barh(at, strength[kept][group], 0.7, color=shade, label=words)
            axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=3)
    axes.set_yticks(range(len(kept)), [plain(names[label]) for label in kept], fontsize=8)
    axes.set_ylim(len(kept) - 0.4, -0.6)
    axes.set_xlim(0, max(1.0, float(np.nanmax(strength[kept]))) * 1.08)
    axes.set_xlabel("mean strength over the class's images", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.legend(
        title="classes that", title_fontsize=8, fontsize=8, frameon=False, loc="lower right"
    )
    return png(figure)


def _ranked(strength: Float[np.ndarray, " C"], weight: Float[np.ndarray, " C"]) -> list[int]:
    shown = np.flatnonzero(~np.isnan(strength))
    order = np.lexsort((-strength[shown], weight[shown] == 0))
    found: list[int] = shown[order].tolist()
    return found


def _in_words(
    names: Sequence[str], strength: Float[np.ndarray, " C"], weight: Float[np.ndarray, " C"]
) -> str:
    said = (
        f"{names[label]} {strength[label]:.2f}{'' if weight[label] else ' (does not use it)'}"
        for label in _ranked(strength, weight)[:BARS]
    )
    return f"Mean strength by class: {', '.join(said)}."


def _strips(feature: int, shown: Sequence[Shown]) -> tuple[Strip, ...]:
    side = side_of(len(shown), labelled=True, largest=200)
    its_colour = colours_of(shown[0].drawing.model, [feature])[feature]
    crops, painted, whole = [], [], []
    for one in shown:
        drawing = one.drawing
        rows, columns = drawing.model.grid
        peak = int(drawing.prediction.feature_maps[:, feature].argmax())
        row, column = divmod(peak, columns)
        place = ((row + 0.5) / rows, (column + 0.5) / columns)
        overlay = drawing.painted([feature], [its_colour])
        crops.append(
            Tile(
                shrunk(crop_at(drawing.picture, place), side),
                drawing.model.class_names[one.label],
                f"strength {drawing.strength[feature]:.2f}",
            )
        )
        painted.append(Tile(shrunk(crop_at(overlay, place), side), ""))
        whole.append(Tile(shrunk(overlay, side), "", PurePosixPath(one.name).name))
    return (
        Strip(tuple(crops), "crop", "around the place where it fires most"),
        Strip(tuple(painted), "the same, painted", "where it fires", its_colour),
        Strip(tuple(whole), "whole image", "", its_colour),
    )
