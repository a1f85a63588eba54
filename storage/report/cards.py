"""What the card of a configuration has beside its numbers: runs, curves, certificates, pictures.

Results of stages are shared by runs, and stand once: runs name them by the beginning of their key.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qpmstudy.columns import PROOF
from qpmstudy.errors import DataError
from qpmstudy.stage_graph import STAGES
from storage.analysis import Member
from storage.layout import StorageRoot
from storage.provenance import code_in_words
from storage.report.columns import numbers
from storage.results import Row

KEY_DIGITS = 16
POINTS = 60
"""Points of a curve, at most."""
NOT_CURVES = frozenset({"epoch", "time", "seconds", "lr"})
TRAINED = ("dense", "finetune")


def card(member: Member, objectives: Sequence[str]) -> dict[str, Any]:
    """Return the runs of a configuration: how each ended, and the results it used."""
    return {"runs": [_run(row, objectives) for row in member.rows]}


def curves(root: StorageRoot, members: Sequence[Member]) -> dict[str, Any]:
    """Return the training curves of configurations: by key, "epoch" and every loss and accuracy.

    Of long ones some epochs are left out, never the first or last. A result that is gone has none.
    """
    found: dict[str, Any] = {}
    for member in members:
        for row in member.complete:
            for stage in TRAINED:
                records = _history(root, stage, row)
                if records:
                    found[short(row[f"key.{stage}"])] = _series(records, "epoch", NOT_CURVES)
    return found


def proofs(root: StorageRoot, members: Sequence[Member]) -> dict[str, Any]:
    """Return how selections came about: by key, "elapsed" seconds with "objective" and "bound"."""
    found: dict[str, Any] = {}
    for member in members:
        for row in member.complete:
            records = _history(root, "select", row) if row["qp_solver"] else []
            if records:
                hidden = frozenset({"epoch", "time", "gap"})
                found[short(row["key.select"])] = _series(records, "elapsed", hidden)
    return found


def short(key: str) -> str:
    """Return the beginning of a key, by which the page knows a result."""
    return key[:KEY_DIGITS]


def _run(row: Row, objectives: Sequence[str]) -> dict[str, Any]:
    good = row["status"] == "COMPLETE"
    known = {name: row.get(name) for name in ("commit", "dirty", "source")}
    return {
        "seed": row["seed"],
        "status": row["status"],
        "error": row["error"],
        "values": numbers(row[name] for name in objectives) if good else [],
        "keys": {stage: short(row[f"key.{stage}"]) for stage in STAGES if row[f"key.{stage}"]},
        "seconds": {
            stage: round(row[f"seconds.{stage}"], 2)
            for stage in STAGES
            if row[f"seconds.{stage}"] is not None
        },
        "reused": [stage for stage in STAGES if row[f"reused.{stage}"]],
        "certificate": _certificate(row) if good and row["qp_solver"] else None,
        "code": code_in_words(known),
        "versions": json.loads(row.get("versions") or "{}"),
        "device": row.get("device.finetune") or row.get("device.dense"),
    }


def _certificate(row: Row) -> dict[str, Any]:
    return dict(zip(PROOF, numbers(row[f"qp_{name}"] for name in PROOF), strict=True))


def _history(root: StorageRoot, stage: str, row: Row) -> list[Mapping[str, float]]:
    key = row.get(f"key.{stage}")
    if not key:
        return []
    try:
        records: Any = root.artifacts.facts(stage, key).get("history", [])
    except DataError:  # removed since, by `study gc --keep front` say
        return []
    return list(records)


def _series(
    records: Sequence[Mapping[str, float]], axis: str, hidden: frozenset[str]
) -> dict[str, Any]:
    """Return records as columns; None where one lacks a value."""
    count = min(POINTS, len(records))
    kept = [records[i] for i in np.linspace(0, len(records) - 1, count).round().astype(int)]
    names = sorted({name for record in kept for name in record} - hidden - {axis})
    return {name: numbers(record.get(name) for record in kept) for name in (axis, *names)}
