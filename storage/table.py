"""A study's results as the table or figure of the paper that it repeats.

Rows are configurations, columns are (dataset, metric); a cell has the mean and the standard
deviation over seeds and, where the paper prints one and it is known, the published value.
"""

import csv
import io
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qpmstudy.columns import is_fraction, shown, shown_mean
from qpmstudy.errors import DataError
from qpmstudy.files import write_bytes
from qpmstudy.paper import PublishedValue, published
from qpmstudy.plots import Series, dots_figure, heat_figure, lines_figure
from storage.results import Row
from storage.study import StudySpec
from storage.summary import searched_values

DATASET = "embeddings.dataset"
METRICS = (
    "test_accuracy",
    "test_plausibility",
    "test_sid",
    "class_independence",
    "contrastiveness",
)
"""Columns of a study that names none: those of the paper's first table."""


@dataclass(frozen=True)
class Column:
    """One metric on one dataset; the name is a column of the results."""

    dataset: str
    metric: str


@dataclass(frozen=True)
class Cell:
    """One number of ours over `seeds` seeds, NaN where there is none, and the paper's."""

    mean: float
    std: float  # sample standard deviation over seeds; NaN for fewer than two
    seeds: int
    paper: PublishedValue | None


@dataclass(frozen=True)
class Table:
    """Rows in the order of the space; `cells[i][j]` is row i, column j."""

    title: str
    parameters: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]  # values of the parameters
    cells: tuple[tuple[Cell, ...], ...]


def make_table(rows: Sequence[Row], spec: StudySpec) -> Table:
    """Return the table of a study from its complete rows, but those of trials stopped early.

    Raises:
        DataError: the study has no complete row, or no such metric column.
    """
    stopped = {row["trial"] for row in rows if row["status"] == "STOPPED"}
    complete = [r for r in rows if r["status"] == "COMPLETE" and r["trial"] not in stopped]
    if not complete:
        raise DataError(f"The study {spec.name!r} has no complete run yet: launch it first.")
    metrics = spec.table.metrics or METRICS
    unknown = [name for name in metrics if name not in complete[0]]
    if unknown:
        numbers = [name for name, value in complete[0].items() if isinstance(value, float)]
        raise DataError(
            f"The results of {spec.name!r} have no column {unknown[0]!r}: name some of "
            f"{', '.join(numbers)} under table.metrics in the study file."
        )
    varied = [p for p in spec.parameters if p.name != DATASET]
    known = published(spec.table.paper) if spec.table.paper else ()
    columns = tuple(
        Column(str(dataset), name) for dataset in spec.choices(DATASET) for name in metrics
    )
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in complete:
        searched = searched_values(row, spec)
        groups.setdefault(tuple(searched[p.name] for p in varied), []).append(row)
    return Table(
        title=f"{spec.table.paper or spec.name}: {spec.description}".removesuffix(": "),
        parameters=tuple(parameter.name for parameter in varied),
        columns=columns,
        rows=tuple(groups),
        cells=tuple(
            tuple(_cell(labels, column, mine, known) for column in columns)
            for labels, mine in groups.items()
        ),
    )


def _cell(
    labels: Sequence[Any], column: Column, rows: Sequence[Row], known: Sequence[PublishedValue]
) -> Cell:
    numbers = [
        math.nan if row[column.metric] is None else float(row[column.metric])
        for row in rows
        if row[DATASET] == column.dataset
    ]
    # the paper prints one Plausibility: its text has the one, its code the other
    plain = column.metric.removeprefix("test_").removesuffix("_shifted")
    name = ", ".join(map(str, labels))
    matching = (
        value
        for value in known
        if (value.row, value.dataset, value.metric) == (name, column.dataset, plain)
    )
    mean = statistics.fmean(numbers) if numbers else math.nan
    spread = len(numbers) > 1 and not math.isnan(mean)  # stdev takes no NaN
    return Cell(
        mean=mean,
        std=statistics.stdev(numbers) if spread else math.nan,
        seeds=len(numbers),
        paper=next(matching, None),
    )


def text(cell: Cell, column: Column) -> str:
    """Return "88.1 ±0.3 (88.3)": ours, its deviation, the paper's; percent where a fraction."""
    ours = shown_mean(column.metric, cell.mean, cell.std)
    return ours + (f" ({shown(column.metric, cell.paper.value)})" if cell.paper else "")


def markdown(table: Table) -> str:
    """Return the table in Markdown, with a legend."""
    several = len({column.dataset for column in table.columns}) > 1
    heads = [f"{c.metric} {c.dataset}" if several else c.metric for c in table.columns]
    lines = [
        f"# {table.title}",
        "",
        "| " + " | ".join([*table.parameters, *heads]) + " |",
        "|" + "---|" * (len(table.parameters) + len(heads)),
    ]
    for labels, cells in zip(table.rows, table.cells, strict=True):
        texts = [text(cell, column) for cell, column in zip(cells, table.columns, strict=True)]
        lines.append("| " + " | ".join([*map(str, labels), *texts]) + " |")
    return "\n".join([*lines, "", legend(table), ""])


def legend(table: Table) -> str:
    """Return what a reader must know about the figures, and where published ones are from."""
    seeds = sorted({cell.seeds for cells in table.cells for cell in cells if cell.seeds})
    counts = " or ".join(map(str, seeds))
    notes = [f"Mean ± sample standard deviation over {counts} seeds; fractions in percent."]
    sources = {cell.paper.source for cells in table.cells for cell in cells if cell.paper}
    if sources:
        notes.append(f"In parentheses the published value ({'; '.join(sorted(sources))}).")
    if any(column.dataset.startswith("birds") for column in table.columns):
        notes.append("Synthetic birds: not comparable with CUB and DINOv2.")
    return " ".join(notes)


def comma_separated(table: Table) -> str:
    """Return one line a cell: parameters, dataset, metric, mean, std, seeds, published, source."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [*table.parameters, "dataset", "metric", "mean", "std", "seeds", "published", "source"]
    )
    for labels, column, cell in _flat(table):
        paper = (cell.paper.value, cell.paper.source) if cell.paper else ("", "")
        numbers = ["" if math.isnan(value) else value for value in (cell.mean, cell.std)]
        writer.writerow([*labels, column.dataset, column.metric, *numbers, cell.seeds, *paper])
    return out.getvalue()


def picture(table: Table) -> bytes:
    """Return a PNG: curves over one number, heat maps over two, dots over anything else.

    A column without any number, such as Plausibility on a dataset without masks, has no panel.
    """
    numeric = all(isinstance(value, int | float) for labels in table.rows for value in labels)
    series = _series(table)
    note = "mean and standard deviation over seeds"
    if any(cell.paper for cells in table.cells for cell in cells):
        note += "; crosses: published"
    if numeric and len(table.parameters) == 1:
        x = [float(labels[0]) for labels in table.rows]
        return lines_figure(series, x, table.parameters[0], table.title, note)
    if numeric and len(table.parameters) == 2:
        down, right = (sorted({labels[i] for labels in table.rows}) for i in (0, 1))
        maps = []
        for one in series:
            values = np.full((len(down), len(right)), np.nan)
            for (y, x_), value in zip(table.rows, one.values, strict=True):
                values[down.index(y), right.index(x_)] = value
            maps.append((one.name, values))
        names = (table.parameters[1], table.parameters[0])
        return heat_figure(maps, names, (right, down), table.title, "mean over seeds")
    labels = [", ".join(map(str, row)) for row in table.rows]
    return dots_figure(series, labels, table.title, note)


def _series(table: Table) -> list[Series]:
    several = len({column.dataset for column in table.columns}) > 1
    found = []
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.cells]
        papers = [math.nan if cell.paper is None else cell.paper.value for cell in cells]
        found.append(
            Series(
                name=f"{column.metric} ({column.dataset})" if several else column.metric,
                values=tuple(_shown(cell.mean, column) for cell in cells),
                deviations=tuple(_shown(cell.std, column) for cell in cells),
                published=tuple(_shown(value, column) for value in papers),
            )
        )
    drawn = [one for one in found if not np.isnan(one.values).all()]
    if not drawn:
        names = ", ".join(one.name for one in found)
        raise DataError(f"Nothing of {table.title!r} has a number yet: {names} are all undefined.")
    return drawn


def _shown(value: float, column: Column) -> float:
    return 100 * value if is_fraction(column.metric) else value


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write table.md, table.csv and table.png into a folder and return their paths."""
    contents = {
        "table.md": markdown(table).encode(),
        "table.csv": comma_separated(table).encode(),
        "table.png": picture(table),
    }
    for name, content in contents.items():
        write_bytes(folder / name, content)
    return [folder / name for name in contents]


def _flat(table: Table) -> Iterator[tuple[tuple[Any, ...], Column, Cell]]:
    for labels, cells in zip(table.rows, table.cells, strict=True):
        for column, cell in zip(table.columns, cells, strict=True):
            yield labels, column, cell
