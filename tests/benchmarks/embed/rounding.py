"""What half precision costs: the error of tokens, and the accuracy of what is trained on them.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.embed.rounding --seeds 3

Trains on tokens as stores hold them, float16, and on the same rounded on to bfloat16, whose values
float16 holds as well.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from qpmstudy.backbones.opening import open_backbone
from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.datasets import make_birds, open_dataset
from qpmstudy.embeddings import Embeddings
from qpmstudy.pipeline import run_pipeline
from storage.extraction import extract

SETTINGS = {
    "embeddings.dataset": "birds",
    "adapter.depth": 3,
    "adapter.hidden": 128,
    "adapter.features": 96,
    "dense.epochs": 12,
    "dense.lr": 1e-2,
    "select.features": 20,
    "select.per_class": 4,
    "select.solver": "lagrangian",
    "select.time_limit": 5.0,
    "finetune.epochs": 8,
    "finetune.lr": 2e-2,
    "finetune.l1_fm": 1.0,
    "finetune.l1_fv": 0.0,
}


def rounded(embeddings: Embeddings) -> Embeddings:
    """Return the embeddings with their tokens rounded to bfloat16."""
    shards = tuple(
        torch.from_numpy(shard).float().bfloat16().half().numpy() for shard in embeddings.patches
    )
    return replace(embeddings, patches=shards)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=128, help="for the error of tokens")
    parser.add_argument("--birds", type=Path, help="folder of birds that are there, or to make")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        birds = arguments.birds or Path(temporary, "birds")
        make_birds("birds", birds)
        dataset = open_dataset("birds", birds)
        backbone = open_backbone("patch-descriptor")
        store = extract(dataset, backbone, Path(temporary, "store"))
        shards = tuple(store.read_shard(number) for number in range(store.shards))
        embeddings = replace(store.read_without_patches(), patches=shards)
        exact = torch.cat(
            [
                backbone.embed(backbone.preprocess(dataset.image(i))[None])[0]
                for i in range(arguments.images)
            ]
        )
    for kind in (torch.float16, torch.bfloat16):
        error = (exact.to(kind).float() - exact).norm() / exact.norm()
        print(
            f"{kind}: relative error of tokens {error:.2e}, largest value {exact.abs().max():.1f}"
        )
    for name, tokens in (("float16", embeddings), ("bfloat16", rounded(embeddings))):
        found = []
        for seed in range(arguments.seeds):
            config = with_values(PipelineConfig(), SETTINGS)
            metrics = run_pipeline(config, tokens, seed)["evaluate"].facts["metrics"]
            assert isinstance(metrics, dict)
            found.append([100 * metrics["test"][key] for key in ("accuracy", "plausibility")])
            print(name, seed, *(f"{value:.1f}" for value in found[-1]), flush=True)
        mean = np.mean(found, axis=0)
        spread = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
        print(name, *(f"{m:.1f} ±{s:.1f}" for m, s in zip(mean, spread, strict=True)))


if __name__ == "__main__":
    main()
