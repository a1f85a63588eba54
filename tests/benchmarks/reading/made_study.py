"""A finished study of thousands of rows that nobody ran: rows, ledger and stage results.

    python -m tests.benchmarks.reading.made_study ROOT --configurations 5000 --seeds 2

Rows have every column of a real one and are committed as a run commits them. Stage results are as
many as a run leaves, but hold a curve and nothing else.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cluster.trial_ledger import TrialLedger
from qpmstudy.columns import COMPACTNESS, is_fraction
from qpmstudy.config import with_values
from qpmstudy.files import write_json
from qpmstudy.stage_graph import stage_keys
from storage.layout import StorageRoot
from storage.provenance import provenance
from storage.results import by_trial, metric_columns, schema
from storage.study import StudySpec, grid
from storage.study.space import settings
from tests.made_rows import made_results, made_study

NAME = "large"
HELD_OUT = ("validation", "test", "shift")
FINGERPRINT = "f" * 64
FAILED = 0.003
"""Share of runs that failed, each with the end of a traceback."""
EPOCHS = 30
UNIT = 500
"""The number of configurations is a multiple of it."""


def large_study(configurations: int, seeds: int) -> StudySpec:
    """Return a grid over four parameters."""
    return made_study(
        NAME,
        seeds=seeds,
        pipeline={"embeddings": {"dataset": "birds-smoke"}, "finetune": {"l1_fv": 0}},
        space={
            "finetune.l1_fm": {"values": [n / 2 for n in range(10)]},
            "finetune.div": {"values": [n / 4 for n in range(10)]},
            "select.features": {"values": [20, 30, 40, 50, 60]},
            "dense.lr": {"values": [5e-4 * (n + 1) for n in range(configurations // UNIT)]},
        },
    )


def made_runs(spec: StudySpec) -> Iterator[dict[str, Any]]:
    """Yield every row of a study, by trial and seed, as a run would commit it."""
    random = np.random.default_rng(0)
    points = grid(spec.parameters)
    figures = {trial: _figures(spec.seeds.max, random) for trial in range(len(points))}
    for row in made_results(spec, figures).rows:
        config = with_values(spec.pipeline, settings(spec.parameters, points[row["trial"]]))
        keys = stage_keys(config, FINGERPRINT, row["seed"])
        keyed = {**row, **{f"key.{stage}": key for stage, key in keys.items()}}
        if random.uniform() < FAILED:
            error = f"StageError: dense failed on node-{row['trial'] % 7}: out of memory"
            lost = dict.fromkeys(metric_columns(HELD_OUT[1:]))
            yield keyed | lost | {"status": "FAIL", "error": error, "error_log": "  at x\n" * 300}
        else:
            yield keyed | _costs(list(keys), random)


def _figures(seeds: int, random: np.random.Generator) -> dict[str, list[float]]:
    """Return every metric of a configuration; much of one objective costs the other."""
    found = {
        name: (
            random.uniform(0.3, 0.9, seeds) if is_fraction(name) else random.integers(9, size=seeds)
        )
        for name in metric_columns(HELD_OUT[1:])
    }
    trade, worse = random.uniform(), random.gamma(2, 0.02)
    for name, level in (("accuracy", trade), ("plausibility", 1 - trade**2)):
        found[name] = (0.5 + 0.4 * level - worse + random.normal(0, 0.01, seeds)).clip(0, 1)
    return {name: values.astype(float).tolist() for name, values in found.items()}


def _costs(stages: list[str], random: np.random.Generator) -> dict[str, Any]:
    return {
        **{f"seconds.{stage}": float(random.gamma(2, 30)) for stage in stages},
        **{f"reused.{stage}": "dense" in stage for stage in stages},
        **{f"device.{stage}": "NVIDIA H200" for stage in stages},
        **{name: float(random.integers(5, 50)) for name in COMPACTNESS},
        **{"seconds_per_epoch": float(random.gamma(2)), "qp_solver": "lagrangian"},
        **{"qp_status": "gap", "qp_objective": 31.4, "qp_bound": 31.5, "qp_gap": 0.003},
        **{"weights": "e" * 64, **provenance(), "command": "python cli.py study launch x.yaml"},
    }


def write_study(root: StorageRoot, spec: StudySpec, stage_results: bool = False) -> None:
    """Write a study as its driver leaves it, with or without the results of its stages."""
    folder, columns = root.study(spec.name), schema(HELD_OUT)
    write_json(folder.spec, spec.canonical())
    rows = [folder.results.commit(row, columns) for row in made_runs(spec)]
    ledger = TrialLedger(folder.ledger, spec)
    for trial, mine in by_trial(rows).items():
        ledger.deal()
        values = [[row[name] for row in mine] for name in spec.objectives]
        ledger.tell(trial, [None if None in each else sum(each) / len(each) for each in values])
    if stage_results:
        _write_stage_results(root, rows)


def _write_stage_results(root: StorageRoot, rows: list[dict[str, Any]]) -> None:
    curve = [{"epoch": n, "loss": 1 / (n + 1), "accuracy": 0.5} for n in range(EPOCHS)]
    files = {
        "facts.json": json.dumps({"history": curve}),
        "manifest.json": json.dumps({"seconds": 1.0}),
        "tensors.safetensors": "",
    }
    keys = {(name[4:], key) for row in rows for name, key in row.items() if name.startswith("key.")}
    for stage, key in keys:
        path = root.artifacts.path(stage, key)
        path.mkdir(parents=True)
        for name, content in files.items():
            (path / name).write_text(content, encoding="utf-8")


def main() -> None:
    """Write a study below a root."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--configurations", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--stage-results", action="store_true")
    given = parser.parse_args()
    spec = large_study(given.configurations, given.seeds)
    write_study(StorageRoot(given.root), spec, given.stage_results)


if __name__ == "__main__":
    main()
