"""What a study costs whose trials share stages, and what it would cost if none were shared.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.overhead.reuse --rounds 3

studies/l1fm.yaml on one local cluster, by turns with reuse and without. Without it each
configuration has a weight decay of its own in the dense phase, larger than the file's by some
billionths: it computes what it would anyway, under keys of its own. All else is the same, the
driver and how many stages may run at once included. Every launch has a root of its own; embeddings
are made before and shared. A third launch of each round finds all its stages stored.

--epochs and --seeds make the study smaller, to see that the benchmark works: the share of the
dense phase and the selection in a run, and with it the answer, is then another.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from cluster.launch import launch
from cluster.reporter import Reporter
from cluster.session import ray_session
from storage.ensure import ensure_store
from storage.layout import StorageRoot
from storage.study import StudySpec, load_study, parse_study

STUDY = Path(__file__).parents[3] / "studies" / "l1fm.yaml"
SEARCHED, NOBODY_S = "finetune.l1_fm", "dense.weight_decay"
STEP = 1e-9
"""Relative; the optimiser's own float32 rounds most of it away."""


def study(seeds: int | None, epochs: int | None) -> StudySpec:
    """Return the embedded study, or a smaller one."""
    content = load_study(STUDY).canonical()
    content["seeds"] = seeds or content["seeds"]
    for phase in ("dense", "finetune") if epochs else ():
        content["pipeline"][phase]["epochs"] = epochs
    return parse_study(content, STUDY.name)


def without_reuse(spec: StudySpec) -> StudySpec:
    """Return the same study with keys of its own for every stage of every configuration."""
    content: dict[str, Any] = spec.canonical()
    values = content["space"][SEARCHED]["values"]
    usual = content["pipeline"]["dense"]["weight_decay"]
    variants = {
        str(value): {SEARCHED: value, NOBODY_S: usual * (1 + STEP * number)}
        for number, value in enumerate(values)
    }
    return parse_study(content | {"space": {"l1_fm": {"variants": variants}}}, STUDY.name)


def seconds_of(spec: StudySpec, root: StorageRoot) -> tuple[float, int]:
    """Return how long a launch takes, and how many stages it computed."""
    rows_before = {(r["trial"], r["seed"]) for r in root.study(spec.name).results.rows()}
    start = time.perf_counter()
    launch(spec, root, _silent())
    seconds = time.perf_counter() - start
    rows = root.study(spec.name).results.rows()
    assert not rows_before
    assert len(rows) == spec.configurations * spec.seeds.min
    assert {row["status"] for row in rows} == {"COMPLETE"}
    names = [name for name in rows[0] if name.startswith("reused.")]
    return seconds, sum(row[name] is False for row in rows for name in names)


def main() -> None:
    """Measure by turns in one process, on one cluster, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--epochs", type=int)
    given = parser.parse_args()
    shared = study(given.seeds, given.epochs)
    apart = without_reuse(shared)
    again = shared.model_copy(update={"name": f"{shared.name}-again"})
    found: dict[str, list[tuple[float, int]]] = {"with": [], "without": [], "all stored": []}
    with tempfile.TemporaryDirectory() as folder, ray_session(verbose=False):
        embeddings = Path(folder, "embeddings")
        for names in shared.stores():
            ensure_store(StorageRoot(Path(folder), embeddings), *names, lambda *_: None)
        # workers and their imports are nobody's advantage
        launch(study(1, 1), StorageRoot(Path(folder, "warm"), embeddings), _silent())
        for number in range(given.rounds):
            order = [("with", shared), ("without", apart)]
            for name, spec in order if number % 2 == 0 else reversed(order):
                root = StorageRoot(Path(folder, f"{name}-{number}"), embeddings)
                found[name].append(seconds_of(spec, root))
            root = StorageRoot(Path(folder, f"with-{number}"), embeddings)
            found["all stored"].append(seconds_of(again, root))
    print("| reuse | seconds | range | stages computed |\n|---|---|---|---|")
    for name, runs in found.items():
        times = [seconds for seconds, _ in runs]
        print(f"| {name} | {median(times):.1f} | {min(times):.1f} to {max(times):.1f} |", end="")
        print(f" {runs[0][1]} |")
    ratios = [a / b for (a, _), (b, _) in zip(found["with"], found["without"], strict=True)]
    print(f"\nwith / without: {median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)})")


def _silent() -> Reporter:
    return Reporter(Console(file=io.StringIO()))


if __name__ == "__main__":
    main()
