"""Peak memory of evaluation: what it takes beside the embeddings themselves.

    python tests/benchmarks/evaluate/memory.py                     CUB-2011 at the paper's sizes
    python tests/benchmarks/evaluate/memory.py --images 2000       a sixth of the images

Measures one call of the evaluate stage on an untrained model. The images of the store are a few
over and over in the same memory, so that the peak is that of the evaluation, not of the store.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from qpmstudy.adapter import Adapter
from qpmstudy.classifier import Classifier
from qpmstudy.config import PipelineConfig
from qpmstudy.embeddings import Embeddings
from qpmstudy.heads import DenseHead
from qpmstudy.pipeline import run_stage
from qpmstudy.stages import StageOutput

STATUS = Path("/proc/self/status")
DIFFERENT = 40


def store(images: int, side: int, dim: int, classes: int) -> Embeddings:
    """Return a store of repeated images, half of them for training."""
    rng = np.random.default_rng(0)
    different = rng.normal(0, 1, (DIFFERENT, 1, side**2, dim)).astype(np.float16)
    counts = [len(part) for part in np.array_split(np.arange(images), DIFFERENT)]
    return Embeddings(
        dataset="repeated",
        backbone="none",
        fingerprint="",
        class_names=tuple(map(str, range(classes))),
        grid=(side, side),
        preprocessing={},
        weight_hash="",
        patches=[
            np.broadcast_to(image, (count, side**2, dim))
            for image, count in zip(different, counts, strict=True)
        ],
        cls=rng.normal(0, 1, (images, dim)).astype(np.float16),
        labels=np.arange(images) % classes,
        splits=np.where(np.arange(images) < images // 2, "train", "test"),
        masks=np.ones((images, side**2), np.uint8),
        ids=tuple(map(str, range(images))),
        image_root="",
    )


def trained(embeddings: Embeddings, features: int, hidden: int, depth: int) -> StageOutput:
    """Return what the dense stage would leave, without the training."""
    generator = torch.Generator().manual_seed(0)
    adapter = Adapter(embeddings.dim, hidden, features, depth, generator)
    model = Classifier(adapter, DenseHead(features, len(embeddings.class_names), 0.0, generator))
    index = {
        "index.train": torch.from_numpy(embeddings.indices("train")),
        "index.validation": torch.empty(0, dtype=torch.int64),
    }
    return StageOutput({**model.tensors(), **index}, {"shape": adapter.shape.facts()})


def peak() -> int:
    """Return the most memory that this process has held so far, in bytes.

    Linux has it of this program alone; ru_maxrss includes that of the one that started it.
    """
    if STATUS.exists():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """Evaluate once and print one line of JSON; sizes are in MiB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=11_788)
    parser.add_argument("--side", type=int, default=16, help="of the patch grid")
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--depth", type=int, default=1)
    given = parser.parse_args()
    embeddings = store(given.images, given.side, given.dim, given.classes)
    dense = trained(embeddings, given.features, given.hidden, given.depth)
    before, start = peak(), time.perf_counter()
    run_stage("evaluate_dense", PipelineConfig(), embeddings, {"dense": dense}, 0)
    found = {
        "all_maps": 4 * given.images * given.side**2 * given.features / 2**20,
        "before": before / 2**20,
        "peak": peak() / 2**20,
        "seconds": time.perf_counter() - start,
    }
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


if __name__ == "__main__":
    main()
