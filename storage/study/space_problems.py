"""What is wrong with a space, in sentences."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from qpmstudy.config import PipelineConfig, flatten, with_values
from qpmstudy.contradictions import contradictions
from qpmstudy.registry import did_you_mean
from storage.study.space import MAX_GRID, SpaceEntry, grid, is_whole, parameters_of, settings
from storage.study.validation import value_adapter


def entry_problems(space: dict[str, SpaceEntry]) -> list[str]:
    """Return what is wrong with each entry of a space as a sentence: its paths, its values."""
    problems = _path_problems(space) + _condition_problems(space)
    known = flatten(PipelineConfig())
    for name, entry in space.items():
        for variant, bundle in (entry.variants or {}).items():
            for path in bundle.keys() & known.keys():
                problems += _value_problems(f"{name}.{variant}: {path}", path, bundle[path])
        for path in () if entry.variants else entry.paths or (name,):
            if path not in known:
                continue
            for value in entry.values or (entry.low, entry.high):
                problems += _value_problems(name, path, value)
            if entry.step is not None and is_whole(path) and not isinstance(entry.step, int):
                problems.append(
                    f"space.{name}: {path} takes whole numbers, so `step` must be one "
                    f"(got {entry.step})."
                )
    return problems


def unsized_problems(space: dict[str, SpaceEntry], base: PipelineConfig) -> list[str]:
    """Return what keeps a space with right entries from being a grid of bounded size."""
    parameters = parameters_of(space, base)
    problems = [
        f"space.{parameter.name}: a grid needs `values`, or a `step` for its range; "
        "or choose another sampler (random, tpe, nsga2, gp)."
        for parameter in parameters
        if parameter.count() is None
    ]
    if problems:
        return problems
    size = math.prod(parameter.count() or 0 for parameter in parameters)
    if size > MAX_GRID:
        return [f"space: the grid has {size} configurations, more than {MAX_GRID}."]
    return []


def grid_problems(space: dict[str, SpaceEntry], base: PipelineConfig) -> list[str]:
    """Return which rules configurations of a grid break, each once, at most ten of them."""
    if unsized_problems(space, base):
        return []  # said already
    parameters = parameters_of(space, base)
    broken: dict[str, list[dict[str, Any]]] = {}
    points = grid(parameters)
    for chosen in points:
        for problem in contradictions(with_values(base, settings(parameters, chosen))):
            broken.setdefault(problem, []).append(chosen)
    return [
        f"space: {_where(chosen, len(points))}, {problem}."
        for problem, chosen in list(broken.items())[:10]
    ]


def _where(chosen: Sequence[dict[str, Any]], of: int) -> str:
    if len(chosen) == of > 1:
        return "in every configuration"
    others = f" and {len(chosen) - 1} more" if len(chosen) > 1 else ""
    return f"with {chosen[0]}{others}"


def variant_problems(space: dict[str, SpaceEntry], base: PipelineConfig) -> list[str]:
    """Return which variants of a space with right entries cannot be told apart."""
    problems = []
    for parameter in parameters_of(space, base):
        seen: dict[str, str] = {}
        for variant, bundle in (parameter.variants or {}).items():
            other = seen.setdefault(repr(sorted(bundle.items())), variant)
            if other != variant:
                problems.append(
                    f"space.{parameter.name}: the variants {other!r} and {variant!r} are the "
                    "same configuration: remove one, or let it differ."
                )
    return problems


def _path_problems(space: dict[str, SpaceEntry]) -> list[str]:
    known, problems, owner = flatten(PipelineConfig()), [], dict[str, str]()
    for name, entry in space.items():
        for path in entry.names(name):
            if path not in known:
                hint = did_you_mean(path, known)
                problems.append(f"space.{name}: the configuration has no value {path!r}.{hint}")
            if path in owner:
                problems.append(f"space.{name}: {path!r} is also set by {owner[path]!r}.")
            owner[path] = name
    return problems


def _value_problems(name: str, path: str, value: object) -> list[str]:
    try:
        value_adapter(path).validate_python(value)
    except ValidationError as error:
        return [f"space.{name}: {item['msg']} (got {value!r})." for item in error.errors()]
    return []


def _condition_problems(space: dict[str, SpaceEntry]) -> list[str]:
    """Return which conditions name what is not decided before them."""
    problems = []
    names = list(space)
    for position, (name, entry) in enumerate(space.items()):
        for other, allowed in (entry.when or {}).items():
            where = f"space.{name}.when"
            if other not in names[:position]:
                why = "stands above it in `space`" if other in names else "is called so"
                problems.append(
                    f"{where}: no parameter {why} (got {other!r}): name one that is "
                    f"decided before it.{did_you_mean(other, names[:position])}"
                )
                continue
            known = tuple(space[other].variants or space[other].values or ())
            if not known:
                problems.append(f"{where}: {other} is a range; a condition needs `values` of it.")
            problems += [
                f"{where}: {other} never is {value!r}, only {_listed(known)}."
                for value in (allowed if known else ())
                if value not in known
            ]
            if not allowed:
                problems.append(f"{where}: {other} needs at least one value.")
    return problems


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
