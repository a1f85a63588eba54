"""A comparison of two models in words, as JSON, as a table of disagreements, and as a picture."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from qpmstudy.errors import DataError
from qpmstudy.explain.captions import Tile, sheet
from qpmstudy.explain.drawing import SIDE, Drawing, colours_of
from qpmstudy.explain.overlays import out_of_reach
from qpmstudy.files import write_bytes, write_json
from qpmstudy.inference import Prediction
from storage.comparison import Comparison, Disagreement, Said
from storage.model_images import ModelImages, images_in_words

SHOWN = 10
"""Disagreements in words; a file has all of them."""
DRAWN = 8
TILE_SIDE = 170
FEATURES = 5
LETTERS = ("A", "B")


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON types; an interval that there is none of has null as its ends."""
    record = asdict(found)
    for disagreement in record["disagreements"]:
        del disagreement["position"]
    for pair in filter(None, record["metrics"].values()):
        for end in ("low", "high"):
            if math.isnan(pair["difference"][end]):
                pair["difference"][end] = None
    return record | {
        "models": [str(model) for model in found.models],
        "chosen_on": [str(model) for model in found.chosen_on],
    }


def comparison_text(found: Comparison) -> str:
    """Return a comparison in a few lines: metrics side by side, then where the models differ."""
    lines = [
        f"{letter}: {model}, {source}"
        for letter, model, source in zip(LETTERS, found.models, found.sources, strict=True)
    ]
    which = images_in_words(found.images, found.dataset, found.split)
    lines.append(f"on {which}")
    if found.left_out:
        lines.append(f"left out: {found.left_out} images that only one of them could be shown")
    lines += ["", f"  {'percent':14}{'A':>8}{'B':>9}{'B - A':>9}   95% interval of B - A"]
    for name, pair in found.metrics.items():
        if pair is None:
            lines.append(f"  {name:14}{'-':>8}{'-':>9}")
            continue
        gain = pair.difference
        ends = f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        lines.append(
            f"  {name:14}{100 * pair.first:8.1f}{100 * pair.second:9.1f}{100 * gain.value:+9.1f}"
            + ("   -" if math.isnan(gain.low) else f"   {ends}")
            + (f"  ({pair.images} images)" if pair.images < found.images else "")
        )
    if found.sid_k[0] != found.sid_k[1]:
        lines.append(f"  sid: SID@{found.sid_k[0]} of A, SID@{found.sid_k[1]} of B")
    right = found.right
    differ = len(found.disagreements)
    lines += [
        "",
        f"right: both {found.both_right}, only A {right.only_first}, only B {right.only_second}, "
        f"neither {found.neither_right}",
        f"McNemar's exact test of whether both are right equally often: p = {right.p:.2g}",
        f"they differ on {differ} of {found.images} images ({differ / found.images:.1%})",
    ]
    lines += [f"  {d.image} ({d.true}): A {_words(d.first)}, B {_words(d.second)}"
              for d in found.disagreements[:SHOWN]]  # fmt: skip
    if differ > SHOWN:
        lines.append(f"  and {differ - SHOWN} more")
    for model in found.chosen_on:
        lines.append(f"The configuration of {model} was chosen on these images: it is flattered.")
    return "\n".join(lines)


def write_comparison(
    found: Comparison, first: ModelImages, second: ModelImages, folder: Path
) -> list[Path]:
    """Write comparison.json, disagreements.csv and, if there are any, disagreements.png.

    Returns:
        The files.
    """
    written = [folder / "comparison.json", folder / "disagreements.csv"]
    write_json(written[0], comparison_json(found))
    write_bytes(written[1], _csv(found.disagreements).encode())
    if found.disagreements:
        picture = io.BytesIO()
        _sheet(found.disagreements[:DRAWN], first, second).save(picture, "PNG")
        written.append(folder / "disagreements.png")
        write_bytes(written[2], picture.getvalue())
    return written


def _words(said: Said) -> str:
    return f"{said.name} {said.probability:.0%}{' (right)' if said.right else ''}"


def _csv(disagreements: Sequence[Disagreement]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{x}_{name}" for x in "ab" for name in ("class", "probability", "right")]
    writer.writerow(["image", "class", *columns])
    for one in disagreements:
        cells = [(s.name, f"{s.probability:.4f}", s.right) for s in (one.first, one.second)]
        writer.writerow([one.image, one.true, *cells[0], *cells[1]])
    return text.getvalue()


def _sheet(
    disagreements: Sequence[Disagreement], first: ModelImages, second: ModelImages
) -> Image.Image:
    """Return two rows an image: what one model says and why, and the other."""
    positions = sorted(one.position for one in disagreements)
    mine, theirs = (_predictions(images, positions) for images in (first, second))
    rows = []
    for one in disagreements:
        picture = _picture(first, one.position)
        sides = ((first, mine, one.first), (second, theirs, one.second))
        for letter, (images, predictions, said) in zip(LETTERS, sides, strict=True):
            drawing = Drawing(images.model, picture, predictions[one.position])
            rows.append(_row(drawing, letter, said, one))
    return sheet(rows)


def _row(drawing: Drawing, letter: str, said: Said, one: Disagreement) -> list[Tile]:
    prediction = drawing.prediction
    label = drawing.model.class_names.index(said.name)
    used = prediction.used(label)
    colours = list(colours_of(drawing.model, used).values())
    right = "right" if said.right else "wrong"
    tiles = [
        Tile(drawing.input(side=TILE_SIDE).picture, one.true, one.image.rpartition("/")[2]),
        drawing.tile(
            used, colours, f"{letter}: {said.name}", f"{right}, {said.probability:.2f}", TILE_SIDE
        ),
    ]
    for feature, its_colour in zip(used[:FEATURES], colours, strict=False):
        words = f"contributes {prediction.contributions[label, feature]:+.2f}"
        tiles.append(drawing.feature_tile(feature, its_colour, words, TILE_SIDE))
    return tiles


def _predictions(images: ModelImages, positions: Sequence[int]) -> dict[int, Prediction]:
    """Return what the model says of the images at some positions, maps included."""
    found: list[Prediction] = []
    for batch in images.tokens(np.array(positions)):
        tokens = batch.tokens(images.model.classifier.adapter.reads_cls)
        found += images.model.predict_tokens(torch.from_numpy(tokens).float())
    return dict(zip(positions, found, strict=True))


def _picture(images: ModelImages, position: int) -> Image.Image:
    """Return an image, or grey where it is out of reach: the maps are worth seeing all the same."""
    try:
        return images.picture(position)
    except DataError:
        return out_of_reach(SIDE)
