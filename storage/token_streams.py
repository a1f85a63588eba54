"""Tokens of some images in order, batch by batch: read from a store, or embedded on the way.

Never more than a batch and a shard of them are in memory.

b images of a batch, P patches, T tokens, D channels.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float16, Int64, UInt8

from qpmstudy.backbones.base import Backbone
from qpmstudy.datasets import ImageDataset
from qpmstudy.embeddings import Embeddings
from qpmstudy.measuring import BATCH
from storage.embeddings import EmbeddingStore
from storage.half import half
from storage.loading import default_workers, loaded
from storage.progress import PhaseProgress


class TokenBatch(NamedTuple):
    """The tokens of b images as a store holds them, and their object masks if there are any."""

    patches: Float16[np.ndarray, "b P D"]
    cls: Float16[np.ndarray, "b D"]
    masks: UInt8[np.ndarray, "b P"] | None

    def tokens(self, reads_cls: bool) -> Float16[np.ndarray, "b T D"]:
        """Return what an adapter reads: the patches, and CLS behind them if it takes it."""
        if not reads_cls:
            return self.patches
        return np.concatenate([self.patches, self.cls[:, None]], axis=1)


def stored_tokens(
    store: EmbeddingStore, light: Embeddings, index: Int64[np.ndarray, " n"]
) -> Iterator[TokenBatch]:
    """Yield the images at `index`, ascending, of a store; `light` is it without its patches.

    Every shard is read once.

    Raises:
        DataError: a shard is damaged.
    """
    rows: int = store.attributes["shard_rows"]
    at_hand, shard = -1, np.empty(0, np.float16)
    for start in range(0, len(index), BATCH):
        images = index[start : start + BATCH]
        patches = []
        for image in images.tolist():
            if image // rows != at_hand:
                at_hand, shard = image // rows, store.read_shard(image // rows)
            patches.append(shard[image % rows].copy())  # a view would keep the whole shard
        masks = None if light.masks is None else light.masks[images]
        yield TokenBatch(np.stack(patches), light.cls[images], masks)


def embedded_tokens(
    images: ImageDataset,
    backbone: Backbone,
    batch: int,
    workers: int | None,
    progress: PhaseProgress,
) -> Iterator[TokenBatch]:
    """Yield all images, decoded ahead of the backbone, rounded as a store would hold them.

    Raises:
        DataError: an image cannot be read, or a token is too large for half precision.
        WorkerError: a process that decodes images died.
    """
    count = len(images)
    batches = [range(start, min(start + batch, count)) for start in range(0, count, batch)]
    processes = default_workers(count) if workers is None else workers
    progress(f"embedding {images.name}", 0, count)  # what is fast is counted from the first one
    with closing(loaded(images, backbone, batches, processes)) as stream:
        for rows, pictures in zip(batches, stream, strict=True):
            ids = images.ids[rows.start : rows.stop]
            pixels = torch.from_numpy(pictures.pixels)
            patches, cls = backbone.embed(backbone.normalised(pixels))
            yield TokenBatch(
                half(patches, ids, backbone.name), half(cls, ids, backbone.name), pictures.masks
            )
            progress(f"embedding {images.name}", rows.stop, count)
