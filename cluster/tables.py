"""Results as tables for a terminal."""

import math
from collections.abc import Sequence

from rich.table import Table

from cluster.printing import figures_table, plain, plain_table
from cluster.replication import study_over
from qpmstudy.errors import QpmStudyError
from storage.account import state_of
from storage.layout import StorageRoot, StudyFolder
from storage.spec_file import stored_spec
from storage.study import StudySpec
from storage.summary import Configuration, short_names, summarise
from storage.table import Table as PaperTable
from storage.table import text

# Shown beside the objectives, where the study has them.
CONTEXT = ("sid", "test_accuracy", "test_plausibility")


def front_table(
    configurations: Sequence[Configuration], spec: StudySpec, dominated: bool = True
) -> Table:
    """Return configurations as a table, best in the first objective first; * marks the front."""
    table = figures_table(
        f"{spec.name}: percent on the {spec.objective_split} split, mean ± standard error over "
        f"{spec.seeds} seeds",
        caption(spec),
    )
    for name in ("", "trial"):
        table.add_column(name, no_wrap=True)
    for name in short_names([parameter.name for parameter in spec.parameters]):
        table.add_column(name)
    known = {name for configuration in configurations for name in configuration.estimates}
    shown = [
        name
        for name in CONTEXT
        if name not in spec.objectives and (name in known or not configurations)
    ]
    for name in (*spec.objectives, *shown):
        table.add_column(name.replace("_", "\n"), justify="right")
    first, way = next(iter(spec.objectives.items()))
    sign = -1 if way == "max" else 1

    def order(configuration: Configuration) -> tuple[bool, float]:
        mean = configuration.estimates[first].mean
        return (math.isnan(mean), sign * mean)

    for configuration in sorted(configurations, key=order):
        if dominated or configuration.on_front:
            values = map(plain, configuration.searched.values())
            estimates = (
                str(configuration.estimates[name]) if name in configuration.estimates else "-"
                for name in (*spec.objectives, *shown)
            )
            table.add_row(_mark(configuration), str(configuration.trial), *values, *estimates)
    return table


def _mark(configuration: Configuration) -> str:
    if configuration.on_front:
        return "*"
    return "FAILED" if configuration.failed else "stopped" if configuration.stopped else ""


def caption(spec: StudySpec) -> str:
    """Return what a reader must know to read the figures right."""
    return "; ".join(["* Pareto front", *cautions(spec)])


def cautions(spec: StudySpec) -> list[str]:
    """Return what a study's figures must not be taken for."""
    notes = []
    if spec.protocol == "paper":
        notes.append("searched on the test split, as the paper does: test figures are optimistic")
    if any(dataset.startswith("birds") for dataset, _ in spec.stores()):
        notes.append("synthetic birds, patch descriptor: not comparable with CUB and DINOv2")
    return notes


def paper_tables(made: PaperTable) -> list[Table]:
    """Return a table of the paper, one a dataset: configurations down, metrics across."""
    datasets = list(dict.fromkeys(column.dataset for column in made.columns))
    tables = []
    for dataset in datasets:
        title = made.title if len(datasets) == 1 else f"{made.title} ({dataset})"
        table = plain_table(title)
        for name in short_names(list(made.parameters)):
            table.add_column(name)
        mine = [index for index, column in enumerate(made.columns) if column.dataset == dataset]
        for index in mine:
            words = made.columns[index].metric.removeprefix("test_").replace("_", "\n")
            table.add_column(words, justify="right")
        for labels, cells in zip(made.rows, made.cells, strict=True):
            texts = [text(cells[index], made.columns[index]) for index in mine]
            table.add_row(*map(str, labels), *texts)
        tables.append(table)
    return tables


def status_lines(folder: StudyFolder, spec: StudySpec) -> tuple[list[str], list[Configuration]]:
    """Return progress and failures of a study in words, and its configurations so far."""
    rows = folder.results.rows()
    configurations = summarise(rows, spec)
    runs = sum(c.complete + c.failed + c.stopped for c in configurations)
    total = spec.configurations * spec.seeds.min
    state = state_of(folder, study_over(spec, rows))
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
            lines, configurations = status_lines(folder, spec)
        except QpmStudyError as error:
            table.add_row(folder.name, "unreadable", "", "", "", str(error))
            continue
        state = lines[0].partition(": ")[2].partition(",")[0]
        table.add_row(
            folder.name,
            state,
            f"{sum(c.complete + c.failed + c.stopped for c in configurations)}"
            f"/{spec.configurations * spec.seeds.min}",
            str(sum(c.failed for c in configurations)),
            str(sum(c.on_front for c in configurations)),
            spec.description,
        )
    return table
