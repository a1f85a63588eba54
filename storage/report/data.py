"""Everything the page shows, as JSON types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from storage.account import account_of
from storage.analysis import ParetoResult
from storage.layout import StorageRoot
from storage.report import cards, columns, repeat
from storage.report.pictures import pictures


@dataclass(frozen=True)
class Limits:
    """What keeps a page small; the page says what was left out.

    Attributes:
        cards: configurations with runs, curves and certificates: the front first, then those that
            are likeliest to be on it.
        picture_bytes: of all overlays together, as they stand in the page.
    """

    cards: int = 60
    picture_bytes: int = 3_000_000


def report_data(
    root: StorageRoot,
    result: ParetoResult,
    importance: Mapping[str, Any],
    findings: Sequence[Mapping[str, str]],
    over: bool,
    limits: Limits = Limits(),
) -> dict[str, Any]:
    """Return what a page of one study shows.

    Args:
        root: where it is kept.
        result: the study's front.
        importance: of parameters: "shares" by target and name, "configurations", "best", "notes".
        findings: of the health checks: "level" and "text".
        over: whether the study has every run that it will get.
        limits: of what is large.
    """
    (study,) = result.studies
    spec = study.spec
    account = account_of(root.study(spec.name), spec, study.rows, over)
    detailed = _first(result, limits.cards)
    members = [result.members[index] for index in detailed]
    objectives = list(result.objectives)
    return {
        "study": _study(result, account),
        "parameters": columns.parameter_columns(result),
        "metrics": columns.metric_columns(result),
        "configurations": columns.front_columns(result),
        "knee": result.front.knee,
        "hypervolume": _hypervolume(result),
        "importance": dict(importance),
        "findings": [dict(one) for one in findings],
        "cost": account["cost"],
        "failures": account["failures"],
        "cards": {
            str(index): cards.card(member, objectives)
            for index, member in zip(detailed, members, strict=True)
        },
        "curves": cards.curves(root, members),
        "proofs": cards.proofs(root, members),
        "pictures": pictures(root, members, limits.picture_bytes),
        "commands": repeat.commands(result, root.path),
        "trial_commands": repeat.of_trial(root.path, spec.name),
        "code": repeat.code(result),
        "file": repeat.study_file(study.spec),
    }


def _study(result: ParetoResult, account: Mapping[str, Any]) -> dict[str, Any]:
    (study,) = result.studies
    asked, done = account["question"], account["progress"]
    committed = [row["committed"] for row in study.rows if row.get("committed")]
    return {
        "name": account["study"],
        "description": account["description"],
        "state": account["state"],
        **{name: asked[name] for name in ("split", "protocol", "sampler", "seeds")},
        **{name: done[name] for name in ("runs", "of", "complete", "failed", "configurations")},
        "objectives": dict(result.objectives),
        "changed": asked["changed"],
        "stores": [" / ".join(names) for names in study.spec.stores()],
        "finished": _moment(max(committed)) if committed else None,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _hypervolume(result: ParetoResult) -> dict[str, Any]:
    front, growth = result.front, result.front.growth
    return {
        "value": columns.number(front.hypervolume),
        "band": columns.numbers(front.band),
        "reference": columns.numbers(front.reference),
        "counts": growth.counts.tolist(),
        "values": columns.numbers(growth.values),
        "low": columns.numbers(growth.low),
        "high": columns.numbers(growth.high),
    }


def _first(result: ParetoResult, count: int) -> list[int]:
    """Return which configurations have a whole card: the front, then the likeliest to be on it."""
    front = result.front
    sign = 1 if next(iter(result.objectives.values())) == "max" else -1
    order = np.lexsort((-sign * front.means[:, 0], -front.probability, ~front.on_front))  # NaN last
    return [int(index) for index in order[:count]]
