"""What re-estimating batch norm at the averaged weights is worth, side by side in one run.

    python tests/benchmarks/batch_norm.py --root runs --seeds 3

Trains studies/l1fm.yaml's dense model with and without it, on the same seeds, and prints test
accuracy. The embeddings must be there (`python cli.py embed`).
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from qpmstudy import training
from qpmstudy.embeddings import Embeddings
from qpmstudy.pipeline import run_stage
from storage.ensure import ensure_store
from storage.layout import StorageRoot
from storage.study import load_study

STUDY = Path(__file__).parents[2] / "studies" / "l1fm.yaml"


def accuracy(embeddings: Embeddings, seed: int, recalibrated: bool) -> float:
    """Return the dense model's test accuracy after a training with or without it."""
    config = load_study(STUDY).pipeline

    def keep(model: torch.nn.Module, data: object, limit: int) -> None:
        model.eval()

    chosen = training._recalibrate if recalibrated else keep
    with patch.object(training, "_recalibrate", chosen):
        dense = run_stage("dense", config, embeddings, {}, seed)
    facts = run_stage("evaluate_dense", config, embeddings, {"dense": dense}, seed).facts
    metrics: Any = facts["metrics"]
    return float(metrics["test"]["accuracy"])


def main() -> None:
    """Print a line a seed and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = ensure_store(StorageRoot(options.root), "birds", "patch-descriptor", lambda *_: None)
    shards = tuple(store.read_shard(shard) for shard in range(store.shards))
    embeddings = replace(store.read_without_patches(), patches=shards)
    rows = []
    for seed in range(options.seeds):
        rows.append([accuracy(embeddings, seed, recalibrated) for recalibrated in (True, False)])
        print(f"seed {seed}: re-estimated {rows[-1][0]:.1%}, of the iterates {rows[-1][1]:.1%}")
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    print(f"mean:   re-estimated {means[0]:.1%}, of the iterates {means[1]:.1%}")


if __name__ == "__main__":
    main()
