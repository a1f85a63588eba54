"""What a trial costs that computes nothing, since all its stages are stored, and how that grows.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.overhead.stored --trials 10 100 1000

A trial is a durable row, TensorBoard's events and picture, and the ledger. Each number of trials is
a process of its own; the time is that of the launch, after imports.
"""

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parents[3]
STUDY = {
    "pipeline": {
        "embeddings": {"dataset": "birds-smoke"},
        "adapter": {"depth": 2, "hidden": 16, "features": 32},
        "dense": {"epochs": 15, "batch": 32, "lr": 1e-2},
        "select": {"features": 10, "per_class": 3, "gap": 0.2, "solver": "lagrangian"},
        "finetune": {"epochs": 20, "batch": 32, "lr": 2e-2, "l1_fv": 0},
    },
    "seeds": 1,
}


def ours(trials: int, root: Path, profiled: bool = False) -> float:
    """Return the seconds that a study takes whose stages are all stored; or print a profile."""
    import io

    from rich.console import Console

    from cluster.launch import launch
    from cluster.reporter import Reporter
    from storage.layout import StorageRoot
    from storage.study import parse_study

    values = [n / 1000 for n in range(trials)]
    content = {"name": f"cached-{trials}", "space": {"finetune.l1_fm": {"values": values}}}
    spec = parse_study(STUDY | content, "overhead")
    storage = StorageRoot(root)
    _store_all(spec, storage)
    reporter = Reporter(Console(file=io.StringIO()))
    profiler = cProfile.Profile() if profiled else nullcontext()
    start = time.perf_counter()
    with profiler:
        outcome = launch(spec, storage, reporter)
    seconds = time.perf_counter() - start
    if isinstance(profiler, cProfile.Profile):
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(70)
    assert len(outcome.configurations) == trials
    assert all(one.complete == 1 for one in outcome.configurations)
    return seconds


def _store_all(spec: Any, storage: Any) -> None:
    """Compute one configuration and store its results and picture under the keys of all."""
    from qpmstudy.config import with_values
    from qpmstudy.files import write_bytes
    from qpmstudy.pipeline import run_pipeline
    from qpmstudy.stage_graph import stage_keys
    from storage.ensure import ensure_store
    from storage.overlays import overlay, overlay_path
    from storage.study import grid
    from storage.study.space import settings

    ((dataset, backbone),) = spec.stores()
    store = ensure_store(storage, dataset, backbone, lambda *_: None)
    whole = store.read_without_patches()
    shards = tuple(store.read_shard(shard) for shard in range(store.shards))
    outputs = run_pipeline(spec.pipeline, replace(whole, patches=shards), 0)
    picture: bytes | None = None
    for chosen in grid(spec.parameters):
        config = with_values(spec.pipeline, settings(spec.parameters, chosen))
        keys = stage_keys(config, store.fingerprint, 0)
        for stage, key in keys.items():
            if not storage.artifacts.path(stage, key).exists():
                storage.artifacts.write(stage, key, outputs[stage], 1.0)
        key = keys["evaluate"]
        if picture is None:
            root = Path(whole.image_root)
            picture = overlay(storage.overlays, storage.artifacts, key, root).content
        write_bytes(overlay_path(storage.overlays, key), picture)


def main() -> None:
    """Measure in child processes, in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="in one process, by function")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(ours(given.trials[0], Path(folder))))
        return
    if given.profile:
        with tempfile.TemporaryDirectory() as folder:
            ours(given.trials[0], Path(folder), profiled=True)
        return
    found: dict[int, list[float]] = {trials: [] for trials in given.trials}
    for _ in range(given.rounds):
        for trials, seconds in found.items():
            seconds.append(in_a_child("stored", trials))
    print("| trials | seconds | range | ms a trial |\n|---|---|---|---|")
    for trials, seconds in found.items():
        middle, spread = median(seconds), f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"| {trials} | {middle:.2f} | {spread} | {1000 * middle / trials:.1f} |")


def in_a_child(module: str, trials: int) -> float:
    """Return the seconds that a module of this folder measures in a process of its own."""
    name = f"tests.benchmarks.overhead.{module}"
    answer = subprocess.run(
        [sys.executable, "-m", name, "--child", "--trials", str(trials)],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(json.loads(answer.stdout.strip().splitlines()[-1]))


if __name__ == "__main__":
    main()
