"""Whether a study file asks for more of a study that was launched before, or for something else."""

from collections.abc import Mapping
from typing import Any

from qpmstudy.errors import ConfigError
from storage.study.space import Parameter, grid, settings
from storage.study.spec import StudySpec, differences, parse_study

# may change at any time: it is not part of the question
FREE = frozenset({"description", "stages", "parallel", "table"})


def changes(old: Mapping[str, Any], new: StudySpec) -> list[str]:
    """Return what a new version asks otherwise than the old one (canonical), a line a value."""
    lines = differences(dict(old), new.canonical())
    return [line for line in lines if _section(line) not in FREE]


def other_changes(old: Mapping[str, Any], new: StudySpec) -> list[str]:
    """Return those changes that do more than to extend a study.

    More trials, seeds and values extend it: of a grid any values, as long as every configuration
    it had is still one of it; of the other samplers wider ranges, for their ledger can tell a
    parameter no other list of values.
    """
    lines = changes(old, new)
    try:
        before = parse_study(old, "study.json")
    except ConfigError:  # of another version: nothing can be said about what it asked
        return lines
    grows = {
        "trials": (new.trials or 0) >= (before.trials or 0),
        "seeds": new.seeds.min >= before.seeds.min and new.seeds.max >= before.seeds.max,
        "space": before.sampler == new.sampler and _holds(before, new),
    }
    return [line for line in lines if not grows.get(_section(line), False)]


def _section(line: str) -> str:
    return line.partition(":")[0].partition(".")[0]


def _holds(old: StudySpec, new: StudySpec) -> bool:
    if new.sampler != "grid":
        names = [parameter.name for parameter in old.parameters]
        same = names == [parameter.name for parameter in new.parameters]
        return same and all(map(_widens, old.parameters, new.parameters))
    there = {_point(new.parameters, chosen) for chosen in grid(new.parameters)}
    return all(_point(old.parameters, chosen) in there for chosen in grid(old.parameters))


def _widens(old: Parameter, new: Parameter) -> bool:
    ranged = old.values is None and new.values is None
    wider = new.low <= old.low and new.high >= old.high
    kept = ("paths", "values", "step", "log", "variants", "when")
    return (not ranged or wider) and all(getattr(old, n) == getattr(new, n) for n in kept)


def _point(parameters: tuple[Parameter, ...], chosen: Mapping[str, Any]) -> tuple[object, ...]:
    """Return a configuration as values by parameter and by path."""
    by_path = settings(parameters, chosen)
    return (tuple(sorted(chosen.items())), tuple(sorted(by_path.items())))
