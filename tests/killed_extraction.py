"""An extraction in a process of its own, which tests kill; and the backbone it runs."""

import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import torch
from torch import Tensor

from qpmstudy.backbones.pixels import Pixels
from qpmstudy.datasets import open_dataset
from storage import new_store
from storage.extraction import extract
from storage.places import Place

ROWS = 4
IMAGES = 27


class SlowPixels(Pixels):
    """Takes long enough for a kill to land anywhere, and counts what it embeds."""

    def __init__(self) -> None:
        super().__init__("pixels-112")
        self.embedded = 0

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.embedded += len(images)
        time.sleep(0.012)
        return super().embed(images)


def small_shards() -> None:
    """Make shards of four images."""
    new_store.SHARD_BYTES = new_store.CHUNK_BYTES = ROWS * 196 * 192 * 2


def run(data: Path, path: Place, workers: int, environment: dict[str, str], begun: Event) -> None:
    """Extract, and say when it begins to."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    small_shards()
    backbone = SlowPixels()
    images = open_dataset("folder-killed", data)
    begun.set()
    extract(images, backbone, path, batch=3, workers=workers)
