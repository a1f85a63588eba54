"""What earlier studies know about the space of a new one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qpmstudy.config import flatten, with_values
from storage.layout import StorageRoot
from storage.results import Row, by_trial
from storage.spec_file import stored_spec
from storage.study import StudySpec
from storage.study.space import settings, values_in


@dataclass(frozen=True)
class Observation:
    """A configuration of the new space and what it was worth in an earlier study."""

    source: str  # "study/trial"
    chosen: dict[str, Any]  # by parameter name
    values: tuple[float, ...]  # one for each objective: means over seeds


def observations(spec: StudySpec, root: StorageRoot) -> list[Observation]:
    """Return the trials of the studies under `warm_start` that answer this study's question.

    A trial does if all its seeds are complete, were judged on the same split, and its whole
    configuration is one of this space.

    Raises:
        DataError: there is no study of a name, or its description is damaged.
    """
    found = []
    for name in spec.warm_start:
        folder = root.existing_study(name)
        first = stored_spec(folder).seeds.min
        for trial, rows in sorted(by_trial(folder.results.rows()).items()):
            chosen = _within(spec, rows[0])
            if chosen is not None and len(rows) >= first:
                values = _means(spec, rows)
                if all(map(math.isfinite, values)):
                    found.append(Observation(f"{name}/{trial}", chosen, values))
    return found


def _within(spec: StudySpec, row: Row) -> dict[str, Any] | None:
    """Return which point of the space a row's configuration is; None: of another question."""
    if (row["protocol"], row["split"]) != (spec.protocol, spec.objective_split):
        return None
    chosen = values_in(spec.parameters, row)
    if not all(p.allows(chosen[p.name]) for p in spec.parameters if p.name in chosen):
        return None
    same = flatten(with_values(spec.pipeline, settings(spec.parameters, chosen)))
    return chosen if all(row[path] == value for path, value in same.items()) else None


def _means(spec: StudySpec, rows: Sequence[Row]) -> tuple[float, ...]:
    if any(row["status"] != "COMPLETE" for row in rows):
        return (math.nan,)
    columns = [[row[name] for row in rows] for name in spec.objectives]
    return tuple(math.nan if None in c else sum(c) / len(c) for c in columns)
