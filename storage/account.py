"""What is known of a study, and of one trial of it, as JSON types: what `study show` shows."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qpmstudy.columns import PROOF
from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.errors import DataError
from qpmstudy.stage_graph import STAGES
from storage.artifacts import ArtifactStore
from storage.driver_lock import is_running
from storage.layout import StorageRoot, StudyFolder
from storage.provenance import made_with
from storage.results import Row, metric_names
from storage.spec_file import stored_spec
from storage.study import StudySpec
from storage.study.space import written
from storage.summary import estimate, searched_values, summarise

LOG_LINES = 20
_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


Over = Callable[[StudySpec, Sequence[Row]], bool]
"""Returns whether a study with these rows has every run that it will get."""


def study_account(root: StorageRoot, name: str, over: Over) -> dict[str, Any]:
    """Return a study's question, progress, cost and failures.

    "cost" has, for each stage, how many results the runs used: `computed` for a run, or `reused`
    from another; and the seconds that computing them took or would have taken.

    Args:
        root: where the study is.
        name: what it is called.
        over: says whether it has all its runs, which it may have with fewer than the most seeds.

    Raises:
        DataError: there is no such study, or a row of it is damaged.
    """
    folder = root.existing_study(name)
    spec, rows = stored_spec(folder), folder.results.rows()
    return account_of(folder, spec, rows, over(spec, rows))


def account_of(
    folder: StudyFolder, spec: StudySpec, rows: Sequence[Row], over: bool
) -> dict[str, Any]:
    """Return the same of a study whose rows are at hand."""
    configurations = summarise(rows, spec, metrics=())
    runs, total = len(rows), spec.configurations * spec.seeds.max
    return {
        "study": spec.name,
        "description": spec.description,
        "state": state_of(folder, over),
        "question": _question(spec),
        "progress": {
            "runs": runs,
            "of": total,
            "complete": sum(c.complete for c in configurations),
            "failed": sum(c.failed for c in configurations),
            "stopped": sum(c.stopped for c in configurations),
            "configurations": spec.configurations,
            "front": [c.trial for c in configurations if c.on_front],
        },
        "cost": {stage: _cost(rows, stage) for stage in STAGES if _used(rows, stage)},
        "failures": [
            {"trial": row["trial"], "seed": row["seed"], "error": row["error"]}
            for row in rows
            if row["status"] == "FAIL"
        ],
        "stopped": [{"trial": c.trial, "why": why} for c in configurations for why in c.stops],
        "folder": str(folder.path),
    }


def trial_account(root: StorageRoot, name: str, trial: int) -> dict[str, Any]:
    """Return what one trial set, what it is worth, and how each seed came about.

    Raises:
        DataError: there is no such study or no row of such a trial, or a row is damaged.
    """
    folder = root.existing_study(name)
    spec = stored_spec(folder)
    everything = folder.results.rows()
    rows = [row for row in everything if row["trial"] == trial]
    if not rows:
        known = ", ".join(str(number) for number in sorted({r["trial"] for r in everything}))
        raise DataError(
            f"Trial {trial} of {name!r} has no result yet (trials with one: {known or 'none'}). "
            f"See: python cli.py study show {name}"
        )
    good = [row for row in rows if row["status"] == "COMPLETE"]
    usual = flatten(PipelineConfig())
    return {
        "study": name,
        "trial": trial,
        "on_front": any(
            c.on_front for c in summarise(everything, spec, metrics=()) if c.trial == trial
        ),
        "split": spec.objective_split,
        "searched": searched_values(rows[0], spec),
        "configuration": {path: rows[0][path] for path in usual},
        "changed": {path: usual[path] for path in usual if rows[0][path] != usual[path]},
        "seeds": {str(row["seed"]): row["status"] for row in rows},
        "metrics": {metric: _metric(good, metric) for metric in _metrics(good, spec)},
        "certificates": {str(row["seed"]): _certificate(row) for row in good if row["qp_solver"]},
        "stages": [stage for row in rows for stage in _stages(root.artifacts, row)],
        "provenance": {str(row["seed"]): _made_with(row) for row in rows},
        "stopped": {
            str(row["seed"]): f"{row['stopped_at']}: {row['stopped_because']}"
            for row in rows
            if row["status"] == "STOPPED"
        },
        "errors": {str(row["seed"]): row["error"] for row in rows if row["error"]},
        "error_logs": {
            str(row["seed"]): row["error_log"].splitlines() for row in rows if row.get("error_log")
        },
        "log": log_excerpt(folder, trial) if any(r["status"] == "FAIL" for r in rows) else [],
    }


def log_excerpt(folder: StudyFolder, trial: int) -> list[str]:
    """Return the last lines of the driver's log about a trial, tracebacks included."""
    try:
        lines = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    kept: list[str] = []
    mine = False
    for line in lines:
        if _RECORD.match(line):
            mine = bool(re.search(rf"\btrial {trial}\b", line))
        if mine:
            kept.append(line)
    return kept[-LOG_LINES:]


def state_of(folder: StudyFolder, over: bool) -> str:
    """Return "running", or else "done" for a study that has all its runs, or "stopped"."""
    if is_running(folder.lock):
        return "running"
    return "done" if over else "stopped"


def _question(spec: StudySpec) -> dict[str, Any]:
    usual, given = flatten(PipelineConfig()), flatten(spec.pipeline)
    space = spec.canonical()["space"]
    return {
        "changed": {path: value for path, value in given.items() if value != usual[path]},
        "space": {name: written(entry) for name, entry in space.items()},
        "objectives": dict(spec.objectives),
        "split": spec.objective_split,
        "protocol": spec.protocol,
        "sampler": spec.sampler,
        "configurations": spec.configurations,
        "seeds": str(spec.seeds),
    }


def _used(rows: Iterable[Row], stage: str) -> list[Row]:
    return [row for row in rows if row[f"seconds.{stage}"] is not None]


def _cost(rows: Iterable[Row], stage: str) -> dict[str, float | int]:
    used = _used(rows, stage)
    computed = [row[f"seconds.{stage}"] for row in used if not row[f"reused.{stage}"]]
    reused = [row[f"seconds.{stage}"] for row in used if row[f"reused.{stage}"]]
    return {
        "computed": len(computed),
        "computed_seconds": sum(computed),
        "reused": len(reused),
        "reused_seconds": sum(reused),
    }


def _metrics(rows: Sequence[Row], spec: StudySpec) -> list[str]:
    """Return the metric columns that have a number: objectives first, dense models last."""
    names = metric_names(rows[0]) if rows else []
    measured = [
        n for n in names if n not in spec.objectives and any(r[n] is not None for r in rows)
    ]
    return [*(spec.objectives if rows else ()), *measured]


def _metric(rows: Sequence[Row], name: str) -> dict[str, Any]:
    found = estimate([row[name] for row in rows])
    return {
        "mean": _number(found.mean),
        "standard_error": _number(found.standard_error),
        "seeds": {str(row["seed"]): row[name] for row in rows},
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _certificate(row: Row) -> dict[str, Any]:
    return {name: row[f"qp_{name}"] for name in PROOF}


def _stages(artifacts: ArtifactStore, row: Row) -> Iterable[dict[str, Any]]:
    for stage in STAGES:
        key = row.get(f"key.{stage}")
        if key:
            yield {
                "seed": row["seed"],
                "stage": stage,
                "key": key,
                "seconds": row[f"seconds.{stage}"],
                "reused": row[f"reused.{stage}"],
                "device": row.get(f"device.{stage}"),
                "stored": artifacts.peek(stage, key) is not None,
            }


def _made_with(row: Row) -> dict[str, Any]:
    found = made_with(row)
    return found | {"versions": json.loads(found["versions"] or "{}")}
