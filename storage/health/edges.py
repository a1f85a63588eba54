"""The best configurations that lie where the space of a study ends: better ones may lie beyond."""

import math
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from storage.analysis import ParetoResult
from storage.health.base import Finding, means_of
from storage.study import Parameter
from storage.study.validation import value_adapter

NEAR = 0.02
"""Share of a continuous range that counts as its end."""
ROUNDING = 1e-9
"""Share of a range by which a step that a sampler counted may miss its level."""
KNEE = "knee"
FEWEST = 3
"""Values of a list that has a middle."""


def edge_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield each end of a parameter's range at which the best of an objective, or the knee, lies.

    Said of numbers alone, and not where the configuration allows nothing beyond.
    """
    ends: dict[tuple[str, str, str], list[str]] = {}
    for role, index in _best(result).items():
        member = result.members[index]
        study = next(one for one in result.studies if one.spec.name == member.study)
        for parameter in study.spec.parameters:
            where = _end(parameter, member.searched[parameter.name])
            if where:
                place = parameter.name, where, f"{member.searched[parameter.name]:g}"
                ends.setdefault(place, []).append(role)
    for (name, where, value), roles in ends.items():
        best = [role for role in roles if role != KNEE]
        what = [f"the best {name} for {' and '.join(best)}"] if best else []
        what += [f"the {name} of the knee"] if KNEE in roles else []
        yield Finding(
            "warning",
            f"{' and '.join(what)} {'lie' if len(what) > 1 else 'lies'} at the {where} bound of "
            f"its range ({value}): better ones may lie beyond",
        )


def _best(result: ParetoResult) -> Mapping[str, int]:
    """Return the best configuration that is whole and feasible, by objective; and the knee."""
    found = {}
    for name, way in result.objectives.items():
        means = means_of(result, name) * (1 if way == "max" else -1)
        means[~result.front.feasible] = math.nan
        if not all(map(math.isnan, means)):
            found[name] = max(
                (i for i in range(len(means)) if not math.isnan(means[i])), key=lambda i: means[i]
            )
    if result.front.knee is not None:
        found[KNEE] = result.front.knee
    return found


def _end(parameter: Parameter, value: object) -> str:
    """Return "lower" or "upper" where a value is at an end that could be moved, or nothing.

    Of two values both are ends, which says nothing.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    levels = parameter.levels()
    if levels is not None:  # the last of a stepped range may lie below its end
        numbers = [v for v in levels if isinstance(v, int | float)]
        low, high, near = min(numbers), max(numbers), ROUNDING
        if len(numbers) < FEWEST:
            return ""
    else:
        low, high = parameter.low, parameter.high
        near = 0.0 if parameter.integer else NEAR
    place = _place(value, low, high, parameter.log)
    if place <= near and _allowed(parameter, _beyond(low, -1)):
        return "lower"
    if place >= 1 - near and _allowed(parameter, _beyond(high, 1)):
        return "upper"
    return ""


def _place(value: float, low: float, high: float, log: bool) -> float:
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _beyond(bound: float, way: int) -> float:
    return bound + way if isinstance(bound, int) else math.nextafter(bound, way * math.inf)


def _allowed(parameter: Parameter, value: float) -> bool:
    """Return whether the configuration allows a value for every path of a parameter."""
    try:
        for path in parameter.paths:
            value_adapter(path).validate_python(value)
    except ValidationError:
        return False
    return True
