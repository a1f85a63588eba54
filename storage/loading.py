"""Pictures and masks as a backbone sees them, decoded ahead of it by other processes."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.preprocessing import seen_pixels
from qpmstudy.datasets import ImageDataset, broken_images
from qpmstudy.masks import mask_to_grid
from qpmstudy.workers import cpus, in_order, processes

WORTH_PROCESSES = 512
"""Fewer images are decoded before the processes are up: each imports torch first."""
FEW_CPUS = 4
"""With fewer, processes take more from the backbone than they give (tests/benchmarks/results/
embed.md): a thread decodes beside it, since Pillow does not hold the interpreter."""
MAX_WORKERS = 16
CHECKED_AT_ONCE = 64
Result = TypeVar("Result")
REMEDY = "decode with fewer: --workers 0 stays in one process"


@dataclass(frozen=True)
class Loaded:
    """A batch of B pictures: RGB pixels, and object masks on the patch grid if there are any."""

    pixels: UInt8[np.ndarray, "B 3 side side"]
    masks: UInt8[np.ndarray, "B P"] | None


@dataclass(frozen=True)
class _Load:
    """What a process needs to know of a backbone; it never sees the network."""

    grid: tuple[int, int]
    preprocessing: Mapping[str, object]

    def __call__(self, part: ImageDataset) -> Loaded:
        indices = range(len(part))
        pixels = np.stack([seen_pixels(part.image(i), self.preprocessing).numpy() for i in indices])
        found = [part.mask(i) for i in indices]
        masks = [mask_to_grid(m, self.grid, self.preprocessing) for m in found if m is not None]
        return Loaded(pixels, np.stack(masks) if masks else None)


def default_workers(images: int) -> int:
    """Return how many processes decode: one CPU is left to the backbone; 0 means a thread."""
    if images < WORTH_PROCESSES or cpus() < FEW_CPUS:
        return 0
    return min(cpus() - 1, MAX_WORKERS)


def loaded(
    dataset: ImageDataset, backbone: Backbone, batches: Sequence[range], workers: int
) -> Generator[Loaded, None, None]:
    """Yield the batches in order, decoded by `workers` processes ahead of their use.

    With 0 a thread of this process does it.

    Raises:
        DataError: an image or its mask cannot be decoded.
        WorkerError: a process died.
    """
    load = _Load(backbone.grid, dict(backbone.preprocessing))
    yield from _ahead(load, dataset, batches, workers, "decodes images")


def find_broken(
    dataset: ImageDataset, workers: int, progress: Callable[[int, int], None]
) -> dict[str, str]:
    """Return {id: reason} of every image that cannot be used, after decoding all of them.

    Raises:
        WorkerError: a process died.
    """
    images = len(dataset)
    batches = [
        range(start, min(start + CHECKED_AT_ONCE, images))
        for start in range(0, images, CHECKED_AT_ONCE)
    ]
    broken: dict[str, str] = {}
    progress(0, images)
    found = _ahead(broken_images, dataset, batches, workers, "checks images")
    for batch, reasons in zip(batches, found, strict=True):
        broken.update(reasons)
        progress(batch.stop, images)
    return broken


def _ahead(
    work: Callable[[ImageDataset], Result],
    dataset: ImageDataset,
    batches: Sequence[range],
    workers: int,
    doing: str,
) -> Iterator[Result]:
    parts = (dataset.part(batch.start, batch.stop) for batch in batches)
    if workers == 0:
        with ThreadPoolExecutor(1) as thread:
            yield from in_order(thread, work, parts, ahead=2)
    else:
        with processes(workers, doing, REMEDY) as pool:
            yield from in_order(pool, work, parts, ahead=2 * workers)
