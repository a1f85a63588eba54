"""Results as tables for a terminal."""

import math
from collections.abc import Sequence

from rich.table import Table

from cluster.printing import figures_table, plain
from cluster.replication import study_over
from qpmstudy.errors import QpmStudyError
from storage.account import state_of
from storage.layout import StorageRoot, StudyFolder
from storage.spec_file import stored_spec
from storage.study import StudySpec
from storage.summary import Configuration, short_names, summarise

SHOWN = 100
"""Configurations in a table on the terminal, at most, unless the front has more."""
# Shown beside the objectives, where the study has them.
CONTEXT = ("sid", "test_accuracy", "test_plausibility")


def front_table(configurations: Sequence[Configuration], spec: StudySpec) -> Table:
    """Return configurations as a table, best in the first objective first; * marks the front.

    Of many the front is shown and the best of the others, `SHOWN` in all; the caption says so.
    """
    rows = _shown(configurations, spec)
    left = len(configurations) - len(rows)
    more = f"; {left} more: study pareto {spec.name} --all" * (left > 0)
    table = figures_table(
        f"{spec.name}: percent on the {spec.objective_split} split, mean ± standard error over "
        f"{spec.seeds} seeds",
        "; ".join(["* Pareto front", *cautions(spec)]) + more,
    )
    for name in ("", "trial"):
        table.add_column(name, no_wrap=True)
    for name in short_names([parameter.name for parameter in spec.parameters]):
        table.add_column(name)
    measured = {name for configuration in configurations for name in configuration.estimates}
    beside = [
        name
        for name in CONTEXT
        if name not in spec.objectives and (name in measured or not configurations)
    ]
    for name in (*spec.objectives, *beside):
        table.add_column(name.replace("_", "\n"), justify="right")
    for configuration in rows:
        values = map(plain, configuration.searched.values())
        known = configuration.estimates
        figures = (
            known[name].shown(name) if name in known else "-"
            for name in (*spec.objectives, *beside)
        )
        table.add_row(_mark(configuration), str(configuration.trial), *values, *figures)
    return table


def _shown(configurations: Sequence[Configuration], spec: StudySpec) -> list[Configuration]:
    """Return the rows of the table in their order."""
    first, way = next(iter(spec.objectives.items()))
    sign = -1 if way == "max" else 1

    def order(configuration: Configuration) -> tuple[bool, float]:
        mean = configuration.estimates[first].mean
        return (math.isnan(mean), sign * mean)

    ordered = sorted(configurations, key=order)
    others = [c.trial for c in ordered if not c.on_front]
    kept = {*others[: max(0, SHOWN - len(ordered) + len(others))]}
    return [c for c in ordered if c.on_front or c.trial in kept]


def _mark(configuration: Configuration) -> str:
    if configuration.on_front:
        return "*"
    return "FAILED" if configuration.failed else "stopped" if configuration.stopped else ""


def cautions(spec: StudySpec) -> list[str]:
    """Return what a study's figures must not be taken for."""
    notes = []
    if spec.protocol == "paper":
        notes.append("searched on the test split, as the paper does: test figures are optimistic")
    if any(dataset.startswith("birds") for dataset, _ in spec.stores()):
        notes.append("synthetic birds, patch descriptor: not comparable with CUB and DINOv2")
    return notes


def status_lines(folder: StudyFolder, spec: StudySpec) -> tuple[list[str], list[Configuration]]:
    """Return progress and failures of a study in words, and its configurations so far."""
    state, configurations = _standing(folder, spec)
    runs, total = _runs(configurations), spec.configurations * spec.seeds.min
    count = f"{runs} runs, {total} at least" if spec.seeds.adaptive else f"{runs} of {total} runs"
    lines = [
        f"{spec.name}: {state}, {count} ({spec.configurations} configurations x {spec.seeds} seeds)"
    ]
    for configuration in configurations:
        lines += [f"trial {configuration.trial} FAILED: {e}" for e in configuration.errors]
        lines += [f"trial {configuration.trial} stopped at {why}" for why in configuration.stops]
    if state == "stopped":
        lines.append("Launch it again to go on with what is left.")
    return lines, configurations


def studies_table(root: StorageRoot) -> Table:
    """Return every study under a root with its progress; of one that is damaged, what is wrong."""
    table = Table("study", "state", "runs", "failed", "on the front", "description")
    for folder in root.studies():
        try:
            spec = stored_spec(folder)
            state, configurations = _standing(folder, spec)
        except QpmStudyError as error:
            table.add_row(folder.name, "unreadable", "", "", "", str(error))
            continue
        table.add_row(
            folder.name,
            state,
            f"{_runs(configurations)}/{spec.configurations * spec.seeds.min}",
            str(sum(c.failed for c in configurations)),
            str(sum(c.on_front for c in configurations)),
            spec.description,
        )
    return table


def _standing(folder: StudyFolder, spec: StudySpec) -> tuple[str, list[Configuration]]:
    """Return in what state a study is, and its configurations so far."""
    rows = folder.results.rows()
    return state_of(folder, study_over(spec, rows)), summarise(rows, spec, CONTEXT)


def _runs(configurations: Sequence[Configuration]) -> int:
    return sum(c.complete + c.failed + c.stopped for c in configurations)
