"""Configurations of a study column by column: what its plots and tables are made of."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from qpmstudy.columns import is_fraction
from storage.analysis import ParetoResult
from storage.explained import why_not
from storage.study import Parameter
from storage.summary import apart, estimate, short_names

DIGITS = 6
"""Significant digits of a number in the page: more than anybody can tell apart there."""


def number(value: Any) -> Any:
    """Return a number with few digits, None for one that JSON has not; anything else as it is."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def numbers(values: Iterable[Any]) -> list[Any]:
    """Return each value as `number` has it."""
    return [number(value) for value in values]


def parameter_columns(result: ParetoResult) -> list[dict[str, Any]]:
    """Return every parameter with its value in each configuration; None where it has none."""
    (study,) = result.studies
    parameters = study.spec.parameters
    labels = short_names([parameter.name for parameter in parameters])
    taken = {"trial", "probability", *result.objectives, *result.table.metrics}
    return [
        {
            "name": apart(parameter.name, taken),
            "label": label,
            "log": parameter.log,
            "levels": _levels(parameter),
            "values": [_varied(member.searched[parameter.name]) for member in result.members],
        }
        for parameter, label in zip(parameters, labels, strict=True)
    ]


def metric_columns(result: ParetoResult) -> list[dict[str, Any]]:
    """Return every metric with its mean and standard error in each configuration.

    Objectives come first. "percent" says that a metric is a fraction, shown in percent.
    """
    names = dict.fromkeys((*result.objectives, *result.table.metrics))
    return [_metric(result, name) for name in names]


def front_columns(result: ParetoResult) -> dict[str, list[Any]]:
    """Return of each configuration whether and how surely it is on the front, and what beats it.

    "dominated_by" is the index of a configuration, -1 for none; "why_not" says it in words.
    """
    front = result.front
    return {
        "trial": [member.trial for member in result.members],
        "complete": [len(member.complete) for member in result.members],
        "failed": [sum(row["status"] == "FAIL" for row in m.rows) for m in result.members],
        "front": [bool(one) for one in front.on_front],
        "probability": numbers(front.probability),
        "dominated_by": [int(one) for one in front.dominated_by],
        "dominated_share": numbers(front.dominated_share),
        "why_not": [why_not(result, index) for index in range(len(result.members))],
    }


def _metric(result: ParetoResult, name: str) -> dict[str, Any]:
    found = [estimate([row[name] for row in member.complete]) for member in result.members]
    return {
        "name": name,
        "label": name.replace("_", " "),
        "percent": is_fraction(name),
        "objective": result.objectives.get(name),
        "mean": numbers(one.mean for one in found),
        "error": numbers(one.standard_error for one in found),
    }


def _varied(value: Any) -> Any:
    return None if value == "-" else number(value)


def _levels(parameter: Parameter) -> list[Any] | None:
    """Return the values of a parameter that has few enough to stand apart on an axis."""
    levels = parameter.levels()
    return None if levels is None or len(levels) > 12 else numbers(levels)
