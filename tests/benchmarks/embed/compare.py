"""Images a second of an extraction: one thing after another, and at once, in the same run.

    python -m tests.benchmarks.embed.compare --images 512 --rounds 3

Prints one Markdown row a way and backbone: the median and the best images/s of the rounds, and the
best as a share of the bare backbone's, which embeds batches that are decoded already. Ways take
turns, so that whatever else the machine does meets all of them.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.catalogue import CATALOGUE
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.pretrained import Pretrained
from qpmstudy.datasets import ImageDataset, make_birds, open_dataset
from qpmstudy.masks import mask_to_grid
from storage.extraction import extract
from storage.groups import array_of, checksum
from storage.new_store import BATCH, fingerprint, new_store
from tests.published import PUBLISHED

WAYS: dict[str, int | None] = {"0 processes": 0, "1 process": 1, "2 processes": 2}
VIT = "dino-vits16"


def one_after_another(dataset: ImageDataset, backbone: Backbone, path: Path) -> None:
    """Decode, embed and write, each while the others wait."""
    group = new_store(dataset, backbone, path, fingerprint(dataset, backbone), {})
    rows = group.attrs["shard_rows"]
    assert isinstance(rows, int)
    for start in range(0, len(dataset), rows):
        stop = min(start + rows, len(dataset))
        patches, cls, masks = [], [], []
        for first in range(start, stop, BATCH):
            batch = range(first, min(first + BATCH, stop))
            tokens, vector = backbone.embed(
                torch.stack([backbone.preprocess(dataset.image(i)) for i in batch])
            )
            patches.append(tokens.half().numpy())
            cls.append(vector.half().numpy())
            for i in batch:
                mask = dataset.mask(i)
                assert mask is not None
                masks.append(mask_to_grid(mask, backbone.grid, backbone.preprocessing))
        block = np.concatenate(patches)
        array_of(group, "patches")[start:stop] = block
        array_of(group, "cls")[start:stop] = np.concatenate(cls)
        array_of(group, "masks")[start:stop] = np.stack(masks)
        checksum([block])


def ways(dataset: ImageDataset, backbone: Backbone, folder: Path) -> dict[str, Callable[[], None]]:
    """Return what is timed, by name."""
    pixels = [backbone.preprocess(dataset.image(i)) for i in range(len(dataset))]
    batches = [torch.stack(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]

    def bare() -> None:
        for batch in batches:
            backbone.embed(batch)

    def at_once(workers: int | None) -> Callable[[], None]:
        return lambda: shutil.rmtree(
            extract(dataset, backbone, folder / "store", workers=workers).path
        )

    return {
        "bare backbone": bare,
        "one after another": lambda: one_after_another(dataset, backbone, folder / "old"),
        **{name: at_once(workers) for name, workers in WAYS.items()},
    }


def opened(name: str, folder: Path) -> Backbone:
    """Return a backbone; a pretrained one with random weights, whose speed is the same."""
    if name not in CATALOGUE:
        return open_backbone(name)
    torch.save(PUBLISHED[name].random(), folder / "weights.pth")
    return Pretrained(CATALOGUE[name], folder / "weights.pth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbones", nargs="+", default=["patch-descriptor", VIT])
    parser.add_argument("--birds", type=Path, help="folder of birds that are there, or to make")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        birds = arguments.birds or folder / "birds"
        make_birds("birds", birds)
        dataset = open_dataset("birds", birds).part(0, arguments.images)
        print(f"{torch.get_num_threads()} threads, {len(dataset)} birds")
        print("| backbone | way | images/s, median | best | of the bare backbone |")
        print("|---|---|---|---|---|")
        for name in arguments.backbones:
            timed = ways(dataset, opened(name, folder), folder)
            rates: dict[str, list[float]] = {way: [] for way in timed}
            for _ in range(arguments.rounds):
                for way, run in timed.items():
                    start = time.perf_counter()
                    run()
                    rates[way].append(len(dataset) / (time.perf_counter() - start))
            bare = max(rates["bare backbone"])
            for way, found in rates.items():
                middle, best = statistics.median(found), max(found)
                print(f"| {name} | {way} | {middle:.1f} | {best:.1f} | {best / bare:.2f} |")


if __name__ == "__main__":
    main()
