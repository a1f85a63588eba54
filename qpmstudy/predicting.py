"""Predictions for many images: decoded ahead by threads, batch by batch through the model."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from qpmstudy.backbones.preprocessing import seen_pixels
from qpmstudy.datasets.pictures import NAME_ANOTHER, read_rgb
from qpmstudy.errors import DataError
from qpmstudy.inference import InterpretableModel, Prediction
from qpmstudy.workers import cpus, in_order

BATCH = 32
MOST_THREADS = 8
"""Pillow decodes without holding the interpreter; beyond that many the backbone is slower."""


@dataclass(frozen=True)
class Predicted:
    """An image and what the model says of it; the picture if it was asked for, upright RGB."""

    path: Path
    prediction: Prediction
    picture: Image.Image | None


@dataclass(frozen=True)
class Broken:
    """An image that cannot be decoded, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class _Decoded:
    path: Path
    pixels: UInt8[Tensor, "3 side side"]
    picture: Image.Image | None


def predict_images(
    model: InterpretableModel, paths: Iterable[Path], pictures: bool = False, batch: int = BATCH
) -> Iterator[Predicted | Broken]:
    """Yield what comes of each image, in their order.

    Never more than a few batches of pictures are in memory, and no more paths are taken than that.

    Args:
        model: on the GPU if there is one (`load_model`).
        paths: image files.
        pictures: keep each picture with its prediction, for an explanation.
        batch: images that pass the backbone at once.
    """

    def decode(path: Path) -> _Decoded | Broken:
        try:
            picture = read_rgb(path, NAME_ANOTHER)
        except DataError as error:
            return Broken(path, str(error))
        pixels = seen_pixels(picture, model.preprocessing)
        return _Decoded(path, pixels, picture if pictures else None)

    with ThreadPoolExecutor(min(cpus(), MOST_THREADS)) as pool:
        waiting: list[_Decoded | Broken] = []
        for one in in_order(pool, decode, paths, ahead=2 * batch):
            waiting.append(one)
            if len(waiting) == batch:
                yield from _predicted(model, waiting)
                waiting = []
        yield from _predicted(model, waiting)


def _predicted(
    model: InterpretableModel, images: list[_Decoded | Broken]
) -> Iterator[Predicted | Broken]:
    good = [one for one in images if isinstance(one, _Decoded)]
    said = iter(model.predict_pixels(torch.stack([one.pixels for one in good])) if good else [])
    for one in images:
        if isinstance(one, Broken):
            yield one
        else:
            yield Predicted(one.path, next(said), one.picture)
