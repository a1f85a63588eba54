"""Stores of noise: of any size, without an image, for tests and benchmarks of reading."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qpmstudy.backbones.base import Backbone
from qpmstudy.datasets import ImageDataset
from storage.chunks import chunk_sums
from storage.embeddings import EmbeddingStore, open_store
from storage.groups import CHUNK_SUMS, array_of
from storage.new_store import new_store
from storage.record import digests, finish, forget_record, note

CLASSES = 4


class Noise(Backbone):
    """A backbone whose patches are drawn, whatever the image shows; its CLS vector is zero."""

    name = "noise"

    def __init__(self, side: int, dim: int, seed: int) -> None:
        self.grid, self.dim = (side, side), dim
        self.weight_hash, self.preprocessing = "0" * 64, {}
        self._generator = torch.Generator().manual_seed(seed)

    def normalised(self, pixels: Tensor) -> Tensor:
        return pixels.float()

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        shape = len(images), self.grid[0] * self.grid[1], self.dim
        return torch.randn(shape, generator=self._generator), torch.zeros(shape[0], self.dim)


def random_store(path: Path, images: int, side: int, dim: int, seed: int = 0) -> EmbeddingStore:
    """Write a store of normally distributed tokens, sorted by class, half of it for training."""
    dataset = ImageDataset(
        name="noise",
        root=path.parent / "nowhere",
        class_names=tuple(f"class {label}" for label in range(CLASSES)),
        ids=tuple(f"{number}.png" for number in range(images)),
        labels=np.sort(np.arange(images) % CLASSES),
        splits=np.array(["train", "train", "train", "test"] * images)[:images],
    )
    content = hashlib.sha256(f"noise-{seed}".encode()).hexdigest()
    noise = Noise(side, dim, seed)
    group = new_store(dataset, noise, path, content, {})
    attributes: Any = group.attrs
    patches, rows = array_of(group, "patches"), int(attributes["shard_rows"])
    sums = []
    for shard, start in enumerate(range(0, images, rows)):
        count = min(rows, images - start)
        pixels = noise.normalised(torch.zeros((count, 3, 1, 1), dtype=torch.uint8))
        block, cls = (tokens.half().numpy() for tokens in noise.embed(pixels))
        patches[start : start + count] = block
        sums.append(chunk_sums(block, patches.chunks[0]))
        note(group, shard, digests(block, cls, None))
    array_of(group, CHUNK_SUMS)[:] = np.concatenate(sums)
    finish(group, read_back=False)
    forget_record(group)
    return open_store(path, "noise", "noise")
