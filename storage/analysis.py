"""From the rows of one study or several to what is known of their common front."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpmstudy.columns import is_fraction, needs_masks, range_of
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.pareto import Constraint, FrontAnalysis, SeedTable, analyse, parse_constraint
from qpmstudy.registry import did_you_mean
from storage.comparable import check_comparable
from storage.layout import StorageRoot
from storage.object_masks import without_masks
from storage.results import Row, by_trial, metric_names
from storage.spec_file import stored_spec
from storage.study import StudySpec
from storage.summary import searched_values


@dataclass(frozen=True)
class StudyResults:
    """A study and its rows."""

    spec: StudySpec
    rows: Sequence[Row]


@dataclass(frozen=True)
class Member:
    """One configuration of one of the studies; `rows` are its runs, in the order of their seeds."""

    study: str
    trial: int
    searched: Mapping[str, Any]  # by parameter name; "-" where it is not varied
    rows: Sequence[Row]
    eligible: bool  # its first seeds are complete, and no run of it is anything else

    @property
    def complete(self) -> list[Row]:
        """Return its complete runs."""
        return [row for row in self.rows if row["status"] == "COMPLETE"]


@dataclass(frozen=True)
class ParetoResult:
    """The front of one study or several.

    Attributes:
        studies: what was read.
        objectives: "max" or "min" by metric.
        constraints: what configurations must keep to.
        members: every configuration with a row, by study and trial: the axis n of `table` and
            `front`.
        table: every metric of every complete run.
        front: what is known of the front.
        notes: in what the studies differ, though they can be compared.
    """

    studies: tuple[StudyResults, ...]
    objectives: Mapping[str, str]
    constraints: tuple[Constraint, ...]
    members: tuple[Member, ...]
    table: SeedTable
    front: FrontAnalysis
    notes: tuple[str, ...]

    @property
    def split(self) -> str:
        """Return the split that bare metric names are measured on."""
        return self.studies[0].spec.objective_split

    def mean(self, index: int, metric: str) -> float:
        """Return a configuration's mean over complete seeds; NaN where there is none."""
        mine = self.table.done[index]
        values = self.table.values[index, mine, self.table.metrics.index(metric)]
        return float(values.mean()) if mine.any() else math.nan

    def label(self, index: int) -> str:
        """Return "trial 7", or "l1fm/7" where there are several studies."""
        member = self.members[index]
        return (
            f"trial {member.trial}" if len(self.studies) == 1 else f"{member.study}/{member.trial}"
        )


def read_results(root: StorageRoot, names: Sequence[str]) -> list[StudyResults]:
    """Return studies and their rows.

    Raises:
        ConfigError: a study is named twice.
        DataError: there is no such study, or a row is damaged.
    """
    if len(set(names)) < len(names):
        raise ConfigError(f"A study is named twice (got {', '.join(names)}): name each once.")
    folders = [root.existing_study(name) for name in names]
    return [StudyResults(stored_spec(folder), folder.results.rows()) for folder in folders]


def parse_objectives(texts: Sequence[str]) -> dict[str, str] | None:
    """Return "max" or "min" by metric from texts such as "accuracy:max"; None without any.

    Raises:
        ConfigError: a text is of another form, or names a metric again.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, way = text.partition(":")
        if way not in ("max", "min"):
            raise ConfigError(
                f"The objective {text!r} is not of the form METRIC:max or METRIC:min, as in "
                "accuracy:max."
            )
        if name in found:
            raise ConfigError(f"The objective {name!r} is given twice: give it once.")
        found[name] = way
    return found or None


def pareto_result(
    studies: Sequence[StudyResults],
    objectives: Mapping[str, str] | None = None,
    constraints: Sequence[str] = (),
) -> ParetoResult:
    """Return the common front of studies.

    Args:
        studies: at least one.
        objectives: "max" or "min" by metric; None: those of the studies.
        constraints: each as a person writes it: "accuracy >= 0.85".

    Raises:
        ConfigError: the studies cannot be compared, there is no such metric or no value of it, or
            a constraint is none.
        DataError: no run is complete yet.
    """
    members = [member for study in studies for member in _members(study)]
    complete = [row for member in members for row in member.complete]
    if not complete:
        raise DataError(_nothing_complete(studies))
    named = _metrics(complete)
    known = [name for name in named if any(row.get(name) is not None for row in complete)]
    parsed = tuple(
        parse_constraint(text, named, filter(is_fraction, named)) for text in constraints
    )
    wanted = _objectives(studies, objectives, named)
    used = [*wanted, *(constraint.metric for constraint in parsed)]
    _check_measured(used, known, [study.spec.name for study in studies])
    notes = check_comparable([(study.spec, study.rows) for study in studies], used)
    table = _table(members, known)
    finished = [index for index, member in enumerate(members) if member.eligible]
    front = analyse(
        table,
        {name: way == "max" for name, way in wanted.items()},
        _reference(table, wanted),
        sorted(finished, key=lambda index: _committed(members[index])),
        parsed,
    )
    return ParetoResult(tuple(studies), wanted, parsed, tuple(members), table, front, tuple(notes))


def _members(study: StudyResults) -> list[Member]:
    found = []
    for trial, rows in sorted(by_trial(study.rows).items()):
        complete = sum(row["status"] == "COMPLETE" for row in rows)
        eligible = complete == len(rows) >= study.spec.seeds.min
        searched = searched_values(rows[0], study.spec)
        found.append(Member(study.spec.name, trial, searched, rows, eligible))
    return found


def _nothing_complete(studies: Sequence[StudyResults]) -> str:
    names = ", ".join(study.spec.name for study in studies)
    errors = [row["error"] for study in studies for row in study.rows if row["status"] == "FAIL"]
    if not errors:
        return f"No run of {names} is complete yet: see study status, or launch it."
    first = str(errors[0] or "no cause").splitlines()[0].rstrip(".")
    return (
        f"No run of {names} is complete, and {len(errors)} failed, the first with: {first}. "
        "See study status for all of them, mend the cause and launch it with --retry-failed."
    )


def _metrics(rows: Sequence[Row]) -> list[str]:
    alike = {tuple(row): row for row in rows}  # few: by which columns they have
    return list(dict.fromkeys(name for row in alike.values() for name in metric_names(row)))


def _check_measured(used: Sequence[str], known: Sequence[str], studies: Sequence[str]) -> None:
    """Refuse metrics that no run has a value of."""
    for name in used:
        if name not in known:
            remedy = without_masks(studies) if needs_masks(name) else "choose another metric."
            raise ConfigError(f"No run of {', '.join(studies)} has a value of {name!r}: {remedy}")


def _objectives(
    studies: Sequence[StudyResults], given: Mapping[str, str] | None, known: Sequence[str]
) -> dict[str, str]:
    asked = [dict(study.spec.objectives) for study in studies]
    if given is None and any(one != asked[0] for one in asked):
        listing = "; ".join(
            f"{study.spec.name}: {', '.join(f'{n} {w}' for n, w in one.items())}"
            for study, one in zip(studies, asked, strict=True)
        )
        raise ConfigError(
            f"The studies have other objectives ({listing}): say which count, for example "
            "--objective accuracy:max --objective plausibility:max."
        )
    wanted: dict[str, str] = {**asked[0]} if given is None else dict(given)
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"The results have no metric {name!r}, only {', '.join(known)}."
                + did_you_mean(name, known)
            )
    return wanted


def _table(members: Sequence[Member], metrics: Sequence[str]) -> SeedTable:
    seeds = sorted({row["seed"] for member in members for row in member.rows})
    place = {seed: index for index, seed in enumerate(seeds)}
    values = np.full((len(members), len(seeds), len(metrics)), np.nan)
    done = np.zeros(values.shape[:2], dtype=bool)
    for index, member in enumerate(members):
        for row in member.complete:
            numbers = [math.nan if row.get(n) is None else row[n] for n in metrics]
            values[index, place[row["seed"]]] = numbers
            done[index, place[row["seed"]]] = True
    eligible = np.array([member.eligible for member in members], dtype=bool)
    ranges = tuple(range_of(name, values[:, :, column].flat) for column, name in enumerate(metrics))
    return SeedTable(tuple(metrics), values, done, eligible, ranges)


def _reference(table: SeedTable, objectives: Mapping[str, str]) -> list[float]:
    """Return the worst a fraction can be, and of other metrics the worst value there is."""
    worst = []
    for name, way in objectives.items():
        if is_fraction(name):
            worst.append(0.0 if way == "max" else 1.0)
            continue
        values = table.values[:, :, table.metrics.index(name)]
        known = values[np.isfinite(values)]
        worst.append(float(known.min() if way == "max" else known.max()))
    return worst


def _committed(member: Member) -> float:
    return max(row.get("committed") or 0.0 for row in member.rows)
