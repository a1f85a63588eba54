"""Why a configuration is not on the front, in words."""

import math

import numpy as np

from qpmstudy.columns import shown
from storage.analysis import Member, ParetoResult
from storage.study import StudySpec


def why_not(result: ParetoResult, index: int) -> str:
    """Return why one is not on the front; nothing if it is.

    "dominated by trial 7: +1.2 accuracy at equal plausibility"; or what it lacks: seeds, a metric,
    what a constraint asks for.
    """
    front, member = result.front, result.members[index]
    if front.on_front[index]:
        return ""
    if not member.eligible:
        spec = next(one.spec for one in result.studies if one.spec.name == member.study)
        return _unfinished(member, spec)
    lacking = [
        name
        for name, value in zip(result.objectives, front.means[index], strict=True)
        if math.isnan(value)
    ]
    if lacking:
        return f"has no {' and no '.join(lacking)}"
    if not front.feasible[index]:
        return "breaks " + " and ".join(_broken(result, index))
    better = int(front.dominated_by[index])
    return f"dominated by {result.label(better)}: {_differences(result, index, better)}"


def _unfinished(member: Member, spec: StudySpec) -> str:
    failed = sum(row["status"] == "FAIL" for row in member.rows)
    if failed:
        return f"{failed} of {len(member.rows)} seeds failed"
    ended = len(member.rows) - len(member.complete)
    if ended:
        rungs = sorted({row["stopped_at"] for row in member.rows if row.get("stopped_at")})
        where = f" at {' and '.join(rungs)}" if rungs else ""
        return f"{ended} of {len(member.rows)} seeds ended early{where}"
    return f"{len(member.complete)} of {spec.seeds.min} seeds complete"


def _broken(result: ParetoResult, index: int) -> list[str]:
    found = []
    for constraint in result.constraints:
        mean = result.mean(index, constraint.metric)
        if not constraint.holds(np.array(mean)):
            found.append(f"{constraint} ({constraint.metric} {shown(constraint.metric, mean)})")
    return found


def _differences(result: ParetoResult, index: int, better: int) -> str:
    """Return what the better one has more or less of, and in what they are equal."""
    gains, equal = [], []
    for position, name in enumerate(result.objectives):
        difference = float(
            result.front.means[better, position] - result.front.means[index, position]
        )
        text = shown(name, difference)
        if float(text.replace(",", "")) == 0:
            equal.append(name)
        else:
            gains.append(f"{text if difference < 0 else '+' + text} {name}")
    if not gains:
        return "by less than is shown"
    return ", ".join(gains) + (f" at equal {' and '.join(equal)}" if equal else "")
