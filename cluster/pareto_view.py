"""What is known of a front, for a terminal."""

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cluster.importance import FRONT, Importance
from cluster.printing import figures_table, plain
from cluster.tables import CONTEXT, cautions
from qpmstudy.columns import shown
from storage.analysis import ParetoResult
from storage.explained import why_not
from storage.health import Finding
from storage.summary import estimate, short_names

CLOSE = 5
"""Dominated configurations that are explained where not all are asked for."""
ENDLESS = 10_000
"""Columns in which every table has all the room it can use."""


def pareto_view(
    result: ParetoResult,
    importances: Sequence[Importance],
    findings: Sequence[Finding],
    dominated: bool,
    console: Console,
) -> Group:
    """Return everything that `study pareto` prints, besides the names of files.

    Args:
        result: the front.
        importances: what decides, for each study.
        findings: of the health checks.
        dominated: show every configuration, with what keeps it off the front.
        console: where it is to be printed: figures besides the objectives are shown if they fit.
    """
    parts: list[RenderableType] = [_fitting(result, dominated, console), *_summary(result)]
    parts += _others(result, dominated)
    parts += [_importance(one) for one in importances]
    parts += [_health(findings)]
    return Group(*parts)


def _fitting(result: ParetoResult, dominated: bool, console: Console) -> Table:
    """Return the table with as many figures beside the objectives as fit."""
    extra = [n for n in CONTEXT if n in result.table.metrics and n not in result.objectives]
    endless = console.options.update(width=ENDLESS)
    while extra:
        table = _front(result, dominated, extra)
        if console.measure(table, options=endless).maximum <= console.width:
            return table
        extra.pop()
    return _front(result, dominated, extra)


def _front(result: ParetoResult, dominated: bool, extra: Sequence[str]) -> Table:
    specs = [study.spec for study in result.studies]
    seeds = " or ".join(dict.fromkeys(str(spec.seeds) for spec in specs))
    table = figures_table(
        f"{' and '.join(spec.name for spec in specs)}: percent on the {result.split} split, "
        f"mean ± standard error over {seeds} seeds",
        _caption(result),
    )
    parameters = list(dict.fromkeys(name for m in result.members for name in m.searched))
    table.add_column("", no_wrap=True)
    table.add_column("trial", no_wrap=True)
    for name in short_names(parameters):
        table.add_column(name)
    for name in result.objectives:
        table.add_column(name.replace("_", "\n"), justify="right")
    table.add_column("on the\nfront", justify="right", no_wrap=True)
    for name in extra:
        table.add_column(name.replace("_", "\n"), justify="right")
    for index in _order(result):
        if not (dominated or result.front.on_front[index]):
            continue
        member = result.members[index]
        values = [plain(member.searched.get(name)) for name in parameters]
        cells = [
            _mark(result, index),
            result.label(index).removeprefix("trial "),
            *values,
            *(_estimate(result, index, name) for name in result.objectives),
            f"{result.front.probability[index]:.0%}" if member.eligible else "-",
            *(_estimate(result, index, name) for name in extra),
        ]
        table.add_row(*cells)
    return table


def _caption(result: ParetoResult) -> str:
    knee = ["K its knee"] if result.front.knee is not None else []
    drawn = "on the front: how probably, over draws of the seeds"
    told = dict.fromkeys(note for study in result.studies for note in cautions(study.spec))
    return "; ".join(["* Pareto front", *knee, drawn, *told])


def _order(result: ParetoResult) -> list[int]:
    """Return all configurations, best in the first objective first."""
    first = result.front.means[:, 0] * (
        -1 if next(iter(result.objectives.values())) == "max" else 1
    )
    order: list[int] = np.argsort(first, kind="stable").tolist()  # NaN last
    return order


def _mark(result: ParetoResult, index: int) -> str:
    if index == result.front.knee:
        return "*K"
    if result.front.on_front[index]:
        return "*"
    statuses = {row["status"] for row in result.members[index].rows}
    return "FAILED" if "FAIL" in statuses else "stopped" if "STOPPED" in statuses else ""


def _estimate(result: ParetoResult, index: int, name: str) -> str:
    return estimate([row.get(name) for row in result.members[index].complete]).shown(name)


def _summary(result: ParetoResult) -> list[Text]:
    front = result.front
    low, high = front.band
    reference = ", ".join(
        f"{name} {shown(name, value)}"
        for name, value in zip(result.objectives, front.reference, strict=True)
    )
    lines = []
    if result.constraints:
        kept = int((front.feasible & result.table.eligible).sum())
        bounds = " and ".join(map(str, result.constraints))
        lines.append(f"constraint: {kept} of {len(result.members)} configurations keep to {bounds}")
    lines.append(
        f"hypervolume: {front.hypervolume:.3f}, {low:.3f} to {high:.3f} in 90 % of the draws; "
        f"measured from {reference}"
    )
    if front.knee is not None:
        lines.append(f"knee: {_described(result, front.knee)}")
    elif front.on_front.any():
        few = front.on_front.sum() <= len(result.objectives)
        why = "has only its ends" if few else "does not bulge beyond the line through its ends"
        lines.append(f"knee: none, the front {why}")
    return [Text(line) for line in lines]


def _described(result: ParetoResult, index: int) -> str:
    member = result.members[index]
    names = short_names(list(member.searched))
    values = [
        f"{name} {plain(value)}"
        for name, value in zip(names, member.searched.values(), strict=True)
        if value != "-"
    ]
    return f"{result.label(index)} ({', '.join(values)})"


def _others(result: ParetoResult, every: bool) -> list[RenderableType]:
    """Return why those off the front are not on it; the likeliest first, and alone if not all."""
    others = [index for index in range(len(result.members)) if not result.front.on_front[index]]
    others.sort(key=lambda index: (-result.front.probability[index], _lag(result, index)))
    if not others:
        return []
    told = others if every else others[:CLOSE]
    lines = [Text(f"{result.label(index)} {why_not(result, index)}") for index in told]
    more = len(others) - len(told)
    which = f", the likeliest of {len(others)} (--all: every one)" if more else ""
    return [Text(f"\nnot on the front{which}:"), *(Padding(line, (0, 0, 0, 2)) for line in lines)]


def _lag(result: ParetoResult, index: int) -> float:
    """Return by how much one is behind what beats it, summed over objectives; last if nothing."""
    better = int(result.front.dominated_by[index])
    means = result.front.means
    return float(np.abs(means[better] - means[index]).sum()) if better >= 0 else math.inf


def _importance(found: Importance) -> RenderableType:
    """Return what decides in a study, as a table: parameters down, objectives across."""
    notes = list(found.notes)
    if found.constant:
        notes.append(f"constant, so without a say: {', '.join(found.constant)}")
    title = f"\nWhat decides in {found.study}"
    if not found.shares:
        return Text(f"{title}: {'; '.join(notes)}")
    notes.insert(
        0,
        f"PED-ANOVA: how else the best {found.best} of {found.configurations} configurations are "
        "distributed than all; columns sum to 100",
    )
    table = figures_table(f"{title} (percent)", "; ".join(notes))
    names = list(found.shares[FRONT if FRONT in found.shares else next(iter(found.shares))])
    table.add_column("parameter")
    for target in found.shares:
        words = "reaching\nthe front" if target == FRONT else target.replace("_", "\n")
        table.add_column(words, justify="right")
    for name, short in zip(names, short_names(names), strict=True):
        table.add_row(short, *(f"{100 * shares[name]:.0f}" for shares in found.shares.values()))
    return table


def _health(findings: Sequence[Finding]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for finding in findings:
        table.add_row(f"{finding.level}:", finding.text)
    if not findings:
        table.add_row("", "nothing stands out")
    return Group(Text("\nHealth checks"), table)
