"""Overlays of evaluations in the page: made small, and only so many bytes of them."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from qpmstudy.errors import QpmStudyError
from storage.analysis import Member
from storage.embeddings import open_store
from storage.layout import StorageRoot
from storage.overlays import overlay
from storage.report.cards import short
from storage.results import Row

WIDTH = 1100
"""Pixels; a picture is drawn with more."""
QUALITY = 72
ROWS_TOLD = 8
"""Images of a picture that its text alternative describes."""


def pictures(root: StorageRoot, members: Sequence[Member], budget: int) -> dict[str, Any]:
    """Return a picture for each configuration, by the key of its first seed's evaluation.

    Each has "source", a data URL; "width" and "height" in pixels; and "text", what it shows.
    Those of the first configurations come until all together have `budget` bytes. Where stage
    results are gone, or there is no picture of a method, there is none.
    """
    found: dict[str, Any] = {}
    for member in members:
        rows = [row for row in member.complete if row.get("key.evaluate")]
        if not rows or short(rows[0]["key.evaluate"]) in found:
            continue
        made = _picture(root, rows[0])
        if made is None:
            continue
        budget -= len(made["source"])
        if budget < 0:
            break
        found[short(rows[0]["key.evaluate"])] = made
    return found


def _picture(root: StorageRoot, row: Row) -> dict[str, Any] | None:
    key = row["key.evaluate"]
    try:
        drawn = overlay(root.overlays, root.artifacts, key, _image_root(root, row))
        facts = root.artifacts.facts("evaluate", key)
    except QpmStudyError:  # gone, as after `study gc --keep front`; what is left is shown
        return None
    with Image.open(io.BytesIO(drawn.content)) as whole:
        scale = min(1.0, WIDTH / whole.width)
        size = round(whole.width * scale), round(whole.height * scale)
        shrunk = whole.resize(size, Image.Resampling.LANCZOS)
    content = io.BytesIO()
    shrunk.save(content, "WEBP", quality=QUALITY, method=4)
    return {
        "source": "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode(),
        "width": size[0],
        "height": size[1],
        "text": _text(facts),
    }


def _image_root(root: StorageRoot, row: Row) -> Path:
    """Return where the images are; a picture that is kept needs none of them."""
    names = row["embeddings.dataset"], row["embeddings.backbone"]
    try:
        return Path(open_store(root.embeddings(*names), *names).attributes["image_root"])
    except QpmStudyError:
        return root.dataset(names[0])


def _text(facts: Mapping[str, Any]) -> str:
    names, labels = facts["class_names"], facts["overlay_labels"]
    shown = ", ".join(str(names[label]) for label in labels[:ROWS_TOLD])
    more = f" and {len(labels) - ROWS_TOLD} more" if len(labels) > ROWS_TOLD else ""
    return (
        f"{len(labels)} images with the features that their decisions used, one row an image: "
        f"the image, all features together, then each. True classes: {shown}{more}."
    )
