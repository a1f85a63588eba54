"""Rows of studies that nobody ran, with the figures a test wants."""

from collections.abc import Mapping, Sequence
from typing import Any

from qpmstudy.config import flatten, with_values
from storage.analysis import StudyResults
from storage.study import StudySpec, grid, parse_study
from storage.study.space import settings

Figures = Mapping[str, Sequence[float | None]]
"""Of each metric a value a seed."""


def made_study(name: str = "s", **changes: Any) -> StudySpec:
    """Return a study over l1_fm 0, 1, 2, 3 with two seeds, but for what is changed."""
    content = {
        "name": name,
        "pipeline": {"finetune": {"l1_fv": 0}},
        "space": {"finetune.l1_fm": {"values": [0, 1, 2, 3]}},
        "seeds": 2,
    }
    return parse_study(content | changes, f"{name}.yaml")


def made_results(spec: StudySpec, figures: Mapping[int, Figures], **columns: Any) -> StudyResults:
    """Return complete rows of trials of a grid; `columns` are the same in all."""
    points = grid(spec.parameters)
    rows = []
    for trial, metrics in figures.items():
        config = with_values(spec.pipeline, settings(spec.parameters, points[trial]))
        for seed in range(len(next(iter(metrics.values())))):
            rows.append({
                "study": spec.name,
                "trial": trial,
                "seed": seed,
                "status": "COMPLETE",
                "error": None,
                "protocol": spec.protocol,
                "split": spec.objective_split,
                "fingerprint": "f" * 64,
                "committed": float(trial),
                **flatten(config),
                **{name: values[seed] for name, values in metrics.items()},
                **columns,
            })  # fmt: skip
    return StudyResults(spec, rows)
