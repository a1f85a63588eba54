"""The front of studies as files: pictures, and its table as CSV and Parquet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from qpmstudy.columns import is_fraction, shown
from qpmstudy.files import write_bytes
from qpmstudy.plots import (
    FrontPoint,
    Objective,
    front_figure,
    growth_figure,
    importance_figure,
)
from qpmstudy.plots.front import LIKELY
from storage.analysis import ParetoResult
from storage.explained import why_not
from storage.summary import apart, estimate

Shares = Mapping[str, Mapping[str, float]]
"""Importance of each parameter, by objective and for the front."""


def write_front(
    result: ParetoResult, folder: Path, shares: Mapping[str, Shares] | None = None
) -> list[Path]:
    """Write what is known of a front into a folder, and return the paths.

    - pareto.csv, pareto.parquet: a row for each configuration
    - pareto.png: for two objectives and more
    - pareto_hypervolume.png: its growth
    - pareto_importance.png, of several studies pareto_importance_STUDY.png

    Args:
        result: the front.
        folder: where to write.
        shares: importance, by study.
    """
    table = _table(front_rows(result))
    written = [_csv(table, folder / "pareto.csv"), _parquet(table, folder / "pareto.parquet")]
    title = " and ".join(study.spec.name for study in result.studies)
    pictures: dict[str, bytes] = {}
    if len(result.objectives) > 1:
        pictures["pareto.png"] = front_figure(_points(result), _axes(result), title, _note(result))
    if len(result.front.growth.counts):
        at = ", ".join(
            f"{name} {shown(name, value)}"
            for name, value in zip(result.objectives, result.front.reference, strict=True)
        )
        pictures["pareto_hypervolume.png"] = growth_figure(
            result.front.growth, title, f"over {at}; band: 90 % of the draws of seeds"
        )
    for study, found in (shares or {}).items():
        if found:
            end = f"_{study}" if len(result.studies) > 1 else ""
            pictures[f"pareto_importance{end}.png"] = importance_figure(
                found, study, "PED-ANOVA: the best configurations against all"
            )
    for name, picture in pictures.items():
        write_bytes(folder / name, picture)
        written.append(folder / name)
    return written


def front_rows(result: ParetoResult) -> list[dict[str, Any]]:
    """Return a row for each configuration: what it set, its means, and how it stands.

    A parameter that is called as another column is ("trial", "accuracy") stands as "space.trial".
    """
    front = result.front
    names = [*result.objectives, *(n for n in result.table.metrics if n not in result.objectives)]
    parameters = dict.fromkeys(name for member in result.members for name in member.searched)
    rows = []
    for index, member in enumerate(result.members):
        better = int(front.dominated_by[index])
        found: dict[str, Any] = {
            "study": member.study,
            "trial": member.trial,
            "on_front": bool(front.on_front[index]),
            "front_probability": float(front.probability[index]),
            "knee": index == front.knee,
            "feasible": bool(front.feasible[index]),
            "complete": len(member.complete),
            "failed": sum(row["status"] == "FAIL" for row in member.rows),
            "stopped": sum(row["status"] == "STOPPED" for row in member.rows),
            "dominated_by": result.label(better) if better >= 0 else None,
            "why_not": why_not(result, index) or None,
        }
        measured: dict[str, float] = {}
        for name in names:
            this = estimate([row.get(name) for row in member.complete])
            measured |= {name: this.mean, f"{name}_standard_error": this.standard_error}
        taken, chosen = {*found, *measured}, dict[str, Any]()
        for name in parameters:
            value = member.searched.get(name, "-")
            chosen[apart(name, taken)] = None if value == "-" else value
        rows.append(found | chosen | measured)
    return rows


def _scale(metric: str) -> float:
    return 100.0 if is_fraction(metric) else 1.0


def _points(result: ParetoResult) -> list[FrontPoint]:
    front, scales = result.front, np.array([_scale(name) for name in result.objectives])
    found = []
    for index, member in enumerate(result.members):
        if not member.eligible:
            continue
        errors = [
            estimate([row.get(name) for row in member.complete]).standard_error
            for name in result.objectives
        ]
        found.append(
            FrontPoint(
                label=result.label(index).removeprefix("trial "),
                values=tuple((scales * front.means[index]).tolist()),
                errors=tuple((scales * errors).tolist()),
                on_front=bool(front.on_front[index]),
                probability=float(front.probability[index]),
                knee=index == front.knee,
                feasible=bool(front.feasible[index]),
            )
        )
    return found


def _axes(result: ParetoResult) -> list[Objective]:
    return [
        Objective(
            name.replace("_", " ") + (" (%)" if is_fraction(name) else ""),
            tuple(_scale(name) * c.bound for c in result.constraints if c.metric == name),
        )
        for name in result.objectives
    ]


def _note(result: ParetoResult) -> str:
    seeds = " or ".join(dict.fromkeys(str(study.spec.seeds) for study in result.studies))
    note = f"numbers: trials; {result.split} split, mean and standard error over {seeds} seeds"
    if result.front.knee is not None:
        note += "; ring: knee"
    if (result.front.probability[~result.front.on_front] >= LIKELY).any():
        note += "; (%): how probably on the front"
    return note


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    for name in rows[0]:  # a column of several types (variants, numbers) becomes text
        kinds = {type(row[name]) for row in rows if row[name] is not None}
        if len(kinds) > 1 and not kinds <= {int, float}:
            for row in rows:
                row[name] = None if row[name] is None else str(row[name])
    return pa.Table.from_pylist(rows)


def _csv(table: pa.Table, path: Path) -> Path:
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(quoting_style="needed"))
    write_bytes(path, sink.getvalue().to_pybytes())
    return path


def _parquet(table: pa.Table, path: Path) -> Path:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_bytes(path, sink.getvalue().to_pybytes())
    return path
