"""Reading a store: as fast as its bytes can be read, side by side in one run.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.store.compare --images 2560 --rounds 5
    OMP_NUM_THREADS=1 python -m tests.benchmarks.store.compare --images 2560 --rounds 5 --cold

Prints one Markdown row a way: the median and the best of the rounds, and the median as a share of
the first way's. The first table reads everything into memory (or, streamed, through it), the second
gathers random batches from what is in a node's shared memory. Ways take turns, so that whatever
else the machine does meets all of them. --cold has the kernel forget the files before each reading.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cluster.session import ray_session
from cluster.shared_embeddings import share
from qpmstudy.batches import Feed, LabelledTokens
from qpmstudy.embeddings import Embeddings
from storage.embeddings import EmbeddingStore
from storage.groups import checksum
from storage.reading import streamed_chunks
from tests.random_store import random_store

BATCH = 32
CPU = torch.device("cpu")
Ways = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Copies:
    """The same tokens in other layouts."""

    store: EmbeddingStore
    whole: Path  # one plain file of all tokens
    npy: list[Path]  # one file for each image
    pt: list[Path]

    @property
    def shards(self) -> list[Path]:
        """Return the files of the shards."""
        return [self.store.path / f"patches/c/{i}/0/0" for i in range(self.store.shards)]

    def forget(self) -> None:
        """Have the kernel forget what it keeps of every file."""
        for path in (*self.shards, self.whole, *self.npy, *self.pt):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copies(folder: Path, images: int) -> Copies:
    """Write a store of DINOv2 ViT-B/14 size, 384 KiB an image, and its copies."""
    store = random_store(folder / "noise" / "noise", images, side=16, dim=768)
    npy = [folder / f"{index}.npy" for index in range(images)]
    pt = [folder / f"{index}.pt" for index in range(images)]
    with (folder / "whole").open("wb") as whole:
        for shard in range(store.shards):
            block = store.read_shard(shard)
            whole.write(block.data)
            first = shard * int(store.attributes["shard_rows"])
            for index, image in enumerate(block, first):
                np.save(npy[index], image)
                torch.save(torch.from_numpy(image.copy()), pt[index])
    return Copies(store, folder / "whole", npy, pt)


def whole_readings(made: Copies) -> Ways:
    """Return ways to read everything; all but those that stream end with it in memory."""
    store, rows = made.store, int(made.store.attributes["shard_rows"])
    images, shards = len(made.npy), range(made.store.shards)

    def with_sha() -> list[NDArray[np.float16]]:
        blocks = [store.patches[i * rows : (i + 1) * rows] for i in shards]
        for block in blocks:
            checksum([block])
        return blocks

    def streamed(shuffled: bool) -> None:
        chunks = streamed_chunks(store, window=max(1, images // store.chunk_rows // 8))
        light = store.read_without_patches()
        embeddings = replace(light, patches=chunks)
        index = np.arange(images)
        order = embeddings.shuffled(index, np.random.default_rng(0)) if shuffled else index
        for _ in Feed(embeddings, index, CPU).batches(BATCH, order):
            pass

    return {
        "np.fromfile": lambda: [np.fromfile(path, np.float16) for path in made.shards],
        "read_shard, checked": lambda: [store.read_shard(shard) for shard in shards],
        "Zarr": lambda: [store.patches[i * rows : (i + 1) * rows] for i in shards],
        "Zarr and SHA-256": with_sha,
        "streamed in order, float32 batches": lambda: streamed(shuffled=False),
        "streamed shuffled, float32 batches": lambda: streamed(shuffled=True),
        "a .npy file an image": lambda: [np.load(path) for path in made.npy],
        "a .pt file an image": lambda: [torch.load(path, weights_only=True) for path in made.pt],
    }


def random_batches(made: Copies, shared: Embeddings, index: NDArray[np.int64]) -> Ways:
    """Return ways to gather the images at `index`."""
    shape = made.store.patches.shape
    mapped = np.memmap(made.whole, np.float16, "r", shape=shape)
    out = np.empty((len(index), *shape[1:]), np.float16)
    return {
        "np.memmap, indexed": lambda: mapped[index],
        "tokens, from the object store": lambda: shared.tokens(index),
        "the same into a buffer": lambda: shared.tokens(index, out),
        "with labels, float32": lambda: LabelledTokens(shared, index).batch(
            np.arange(len(index)), CPU
        ),
        "Zarr": lambda: made.store.patches.oindex[np.sort(index)],
        "a .npy file an image": lambda: np.stack([np.load(made.npy[i]) for i in index]),
        "a .pt file an image": lambda: torch.stack(
            [torch.load(made.pt[i], weights_only=True) for i in index]
        ),
    }


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes; what it returns is given back outside that time."""
    start = time.perf_counter()
    kept = work()
    taken = time.perf_counter() - start
    del kept
    return taken


def report(title: str, found: dict[str, list[float]], unit: float, name: str) -> None:
    """Print a table of rates: `unit` over the seconds of each way."""
    print(f"\n| {title} | {name}, median | best | median, of the first |\n|---|---|---|---|")
    first = statistics.median(next(iter(found.values())))
    for way, taken in found.items():
        middle = statistics.median(taken)
        print(f"| {way} | {unit / middle:.2f} | {unit / min(taken):.2f} | {first / middle:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20, help="random ones in a round")
    parser.add_argument("--cold", action="store_true", help="forget files before each reading")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = copies(Path(folder), arguments.images)
        readings = whole_readings(made)
        found: dict[str, list[float]] = {way: [] for way in readings}
        for _ in range(arguments.rounds):
            for way, work in readings.items():
                if arguments.cold:
                    made.forget()
                found[way].append(seconds(work))
        report("whole store", found, made.store.patches.nbytes / 2**30, "GiB/s")
        if arguments.cold:
            return
        rng = np.random.default_rng(0)
        with ray_session(verbose=False, shared=int(1.2 * made.store.patches.nbytes) + 2**28):
            shared = share(made.store.path, "noise", "noise").get()
            shared.tokens(np.arange(arguments.images))  # pages are mapped by the first touch
            np.memmap(made.whole, np.float16, "r").sum(dtype=np.float32)
            times: dict[str, list[float]] = {}
            for _ in range(arguments.rounds * arguments.batches):
                index = rng.choice(arguments.images, BATCH, replace=False)
                for way, work in random_batches(made, shared, index).items():
                    times.setdefault(way, []).append(seconds(work))
        report(f"random batch of {BATCH}", times, 1.0, "batches/s")


if __name__ == "__main__":
    main()
