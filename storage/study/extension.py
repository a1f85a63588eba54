"""Whether a study file asks for more of a study that was launched before, or for something else."""

from collections.abc import Mapping
from typing import Any

from qpmstudy.errors import ConfigError
from storage.study.parsing import parse_study
from storage.study.space import Parameter, grid, settings
from storage.study.spec import StudySpec

# may change at any time: it is not part of the question
FREE = frozenset({"description", "stages", "parallel", "table", "tensorboard"})


def changes(old: Mapping[str, Any], new: StudySpec) -> list[str]:
    """Return what a new version asks otherwise than the old one (canonical), a line a value."""
    lines = differences(dict(old), new.canonical())
    return [line for line in lines if _section(line) not in FREE]


def other_changes(old: Mapping[str, Any], new: StudySpec) -> list[str]:
    """Return those changes that do more than to extend a study.

    More trials, seeds and values extend it: a grid may have any that leave every configuration it
    had in it. Early stopping may change, too: what it has decided stays. The other samplers'
    spaces stay, as what is known of one says little of a wider one in their models: that is a new
    study, which may start from this one (`warm_start`).
    """
    lines = changes(old, new)
    try:
        before = parse_study(old, "study.json")
    except ConfigError:  # of another version: nothing can be said about what it asked
        return lines
    grows = {
        "trials": (new.trials or 0) >= (before.trials or 0),
        "seeds": new.seeds.min >= before.seeds.min and new.seeds.max >= before.seeds.max,
        "space": _holds(before, new),
        "early_stopping": True,
    }
    return [line for line in lines if not grows.get(_section(line), False)]


def check_changes(old: Mapping[str, Any], new: StudySpec, extend: bool) -> bool:
    """Refuse a study of a known name that asks something else; return whether it asks for more.

    The same name with other values would mix two questions in one table.

    Args:
        old: the study as it was launched, canonical.
        new: the study as it is now.
        extend: let it ask for more.

    Raises:
        ConfigError: what has changed, a line each.
    """
    changed = changes(old, new)
    if changed and not (extend and not other_changes(old, new)):
        listing = "\n".join(f"  - {line}" for line in changed)
        raise ConfigError(
            f"The study {new.name!r} was launched before with other content:\n{listing}\n"
            "Give the new question a new name: stored stages are reused, so what has run costs "
            "next to nothing. Or, to run more trials, seeds or values of a grid of the same one, "
            "change only those and add --extend."
        )
    return bool(changed)


def _section(line: str) -> str:
    return line.partition(":")[0].partition(".")[0]


def _holds(old: StudySpec, new: StudySpec) -> bool:
    """Return whether every configuration of a grid is one of another."""
    if {old.sampler, new.sampler} != {"grid"}:
        return False
    there = {_point(new.parameters, chosen) for chosen in grid(new.parameters)}
    return all(_point(old.parameters, chosen) in there for chosen in grid(old.parameters))


def _point(parameters: tuple[Parameter, ...], chosen: Mapping[str, Any]) -> tuple[object, ...]:
    """Return a configuration as values by parameter and by path."""
    by_path = settings(parameters, chosen)
    return (tuple(sorted(chosen.items())), tuple(sorted(by_path.items())))


def differences(old: dict[str, Any], new: dict[str, Any], path: str = "") -> list[str]:
    """Return one line for each value in which two canonical specifications differ."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        where = f"{path}.{key}".strip(".")
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, where)
        elif before != after:
            lines.append(f"{where}: {before!r} before, {after!r} now")
    return lines
