"""Pictures of evaluated images with the features behind each decision, drawn once and kept.

They belong to an evaluation, whoever asks for it: a trial whose stages are all stored has its
picture at once. One that is lost is drawn anew.
"""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from qpmstudy.files import write_bytes
from storage.artifacts import ArtifactStore

QUALITY = 90


@dataclass(frozen=True)
class Overlay:
    """A JPEG file in memory, and its size in pixels."""

    content: bytes
    height: int
    width: int


def overlay_path(folder: Path, key: str) -> Path:
    """Return where the picture of the evaluation `key` is kept, there or not."""
    return folder / key[:2] / f"{key}.jpg"


def overlay(folder: Path, artifacts: ArtifactStore, key: str, image_root: Path) -> Overlay:
    """Return the picture of the evaluation `key`; drawn, and kept below `folder`, if it must be.

    Raises:
        DataError: the evaluation is absent or damaged.
    """
    from qpmstudy.explain import overlay_sheet

    path = overlay_path(folder, key)
    kept = _kept(path)
    if kept is not None:
        return kept
    picture = Image.fromarray(overlay_sheet(artifacts.read("evaluate", key), image_root))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=QUALITY)
    write_bytes(path, content.getvalue())
    return Overlay(content.getvalue(), picture.height, picture.width)


def _kept(path: Path) -> Overlay | None:
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            picture.verify()
            return Overlay(content, picture.height, picture.width)
    except (OSError, UnidentifiedImageError):
        return None
