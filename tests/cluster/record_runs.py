"""Records what every configuration of a small study is worth on every seed, as a CSV file.

    python tests/cluster/record_runs.py --root runs tests/cluster/recorded_runs.csv
    python tests/cluster/record_runs.py --root runs --epochs tests/cluster/recorded_epochs.csv

18 configurations x 10 seeds on birds-small, one process, no Ray: the dense model and the selection
of a seed are made once. The table is what test_replication.py takes its runs from; the one with
`--epochs` has a line an epoch of fine-tuning, with the run's final figures in each, and is what
test_rungs.py takes its runs from. Called again with a part of the table there, it goes on
with the next seed.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from qpmstudy.config import with_values
from qpmstudy.pipeline import run_stage
from storage.ensure import ensure_store
from storage.layout import StorageRoot
from storage.study import StudySpec, grid, parse_study
from storage.study.space import settings

STUDY = {
    "name": "recorded",
    "pipeline": {
        "embeddings": {"dataset": "birds-small", "backbone": "patch-descriptor"},
        "adapter": {"depth": 3, "hidden": 48, "features": 48},
        "dense": {"epochs": 8, "batch": 16, "lr": 1e-2},
        "select": {"features": 14, "per_class": 4, "gap": 0.05, "time_limit": 5},
        "finetune": {"epochs": 8, "batch": 16, "l1_fv": 0},
    },
    "space": {
        "finetune.lr": {"values": [3e-3, 1e-2, 3e-2]},
        "finetune.l1_fm": {"values": [0, 0.5, 1, 2, 4, 8]},
    },
    "seeds": 10,
}


EPOCH = ("epoch", "validation_accuracy", "l1_fm")
"""Columns of an epoch's record."""


def record(spec: StudySpec, root: StorageRoot, path: Path, seeds: int, epochs: bool) -> None:
    """Append the rows of each seed that is not in the file yet."""
    store = ensure_store(root, *spec.stores()[0], lambda *_: None)
    shards = tuple(store.read_shard(shard) for shard in range(store.shards))
    embeddings = replace(store.read_without_patches(), patches=shards)
    names = [parameter.name for parameter in spec.parameters]
    columns = ["trial", "seed", *names, *spec.objectives, *(EPOCH if epochs else ())]
    done = 0
    if path.exists():
        with path.open() as file:
            done = len({row["seed"] for row in csv.DictReader(file)})
    else:
        path.write_text(",".join(columns) + "\n")
    for seed in range(done, seeds):
        shared = {}
        for stage in ("dense", "select"):
            shared[stage] = run_stage(stage, spec.pipeline, embeddings, shared, seed)
        lines = []
        for trial, chosen in enumerate(grid(spec.parameters)):
            config = with_values(spec.pipeline, settings(spec.parameters, chosen))
            tuned = run_stage("finetune", config, embeddings, shared, seed)
            facts = run_stage("evaluate", config, embeddings, {"finetune": tuned}, seed).facts
            metrics: Any = facts["metrics"]
            values = [f"{metrics['validation'][name]:.6f}" for name in spec.objectives]
            line = ",".join([str(trial), str(seed), *map(str, chosen.values()), *values])
            history: Any = tuned.facts["history"] if epochs else ()
            lines += [
                ",".join([line, *(f"{record[name]:.6g}" for name in EPOCH)]) for record in history
            ] or [line]
        with path.open("a") as file:
            file.write("\n".join(lines) + "\n")


def main() -> None:
    """Record the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = parse_study(STUDY, __file__)
    record(spec, StorageRoot(options.root), options.path, options.seeds, options.epochs)


if __name__ == "__main__":
    main()
