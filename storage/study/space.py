"""The space of a study: which configuration values are varied, and over what."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError, model_validator

from qpmstudy.config import PipelineConfig, contradictions, flatten, with_values
from qpmstudy.registry import did_you_mean
from storage.study.validation import Frozen, value_adapter

Scalar = bool | int | float | str
MAX_GRID = 100_000


class SpaceEntry(Frozen):
    """One entry under `space`: a list of values, a range, or named bundles of values."""

    paths: tuple[str, ...] | None = None
    values: tuple[Scalar, ...] | None = None
    variants: dict[str, dict[str, Scalar]] | None = None  # name -> value by path
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> "SpaceEntry":
        ranged = self.low is not None or self.high is not None
        if (self.values is not None) + ranged + (self.variants is not None) != 1:
            raise ValueError(
                "give one of `values: [...]`, `low:` and `high:`, or `variants: {name: {...}}`"
            )
        if ranged:
            return self._checked_range()
        if self.step is not None or self.log:
            raise ValueError("`step` and `log` go with `low` and `high` only")
        if self.variants is not None:
            if self.paths:
                raise ValueError("`paths` does not go with `variants`, which name their own")
            if len(self.variants) < 2:
                raise ValueError("`variants` needs at least two to choose from")
        elif not self.values:
            raise ValueError("`values` is empty: a parameter needs at least one value")
        elif len(set(self.values)) < len(self.values):
            raise ValueError("`values` holds a value twice")
        return self

    def _checked_range(self) -> "SpaceEntry":
        for name in ("low", "high", "step"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"`{name}` must be a finite number, not {number}")
        if self.low is None or self.high is None:
            raise ValueError("a range needs both `low` and `high`")
        if self.low >= self.high:
            raise ValueError(f"`low` ({self.low}) must be below `high` ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"`log` needs a `low` above 0, not {self.low}")
        if self.log and self.step is not None:
            raise ValueError("`log` and `step` exclude each other")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"`step` must be above 0, not {self.step}")
        return self

    def names(self, own: str) -> tuple[str, ...]:
        """Return the paths that the entry called `own` sets."""
        if self.variants is not None:
            return tuple(dict.fromkeys(p for bundle in self.variants.values() for p in bundle))
        return self.paths or (own,)


@dataclass(frozen=True)
class Parameter:
    """One dimension of the search: a name, the paths it sets, and its values or range.

    The values of named bundles are their names; `variants` has what each sets, every path of
    any of them included.
    """

    name: str
    paths: tuple[str, ...]
    values: tuple[Scalar, ...] | None
    low: float | int
    high: float | int
    step: float | int | None
    log: bool
    integer: bool
    variants: Mapping[str, Mapping[str, Any]] | None = None

    def value_in(self, row: Mapping[str, Any]) -> Any:
        """Return which value or variant a configuration by path has."""
        if self.variants is None:
            return row[self.paths[0]]
        fitting = (
            name
            for name, bundle in self.variants.items()
            if all(row[path] == value for path, value in bundle.items())
        )
        return next(fitting)

    def choices(self, path: str) -> tuple[Any, ...]:
        """Return every value it may give `path`; a range gives none."""
        if self.variants is None:
            return self.values or ()
        return tuple(dict.fromkeys(bundle[path] for bundle in self.variants.values()))

    def count(self) -> int | None:
        """Return how many values a grid visits; None for a continuous range."""
        if self.values is not None:
            return len(self.values)
        if not self._grid_step:
            return None
        return int((self.high - self.low) / self._grid_step + 1e-9) + 1

    def levels(self) -> tuple[Scalar, ...] | None:
        """Return the finitely many values a grid visits; None for a continuous range."""
        count = self.count()
        if self.values is not None or count is None:
            return self.values
        # rounded as a person would write it: 0.1 + 2 * 0.1 and a written 0.3 are one stage key
        return tuple(round(self.low + index * self._grid_step, 12) for index in range(count))

    @property
    def _grid_step(self) -> float | int:
        return self.step or (1 if self.integer and not self.log else 0)


def parameters_of(space: Mapping[str, SpaceEntry], base: PipelineConfig) -> tuple[Parameter, ...]:
    """Return the parameters of a checked space; `paths` defaults to the entry's own name.

    Values take the type of the configuration value they stand for: 1 and 1.0 are one value
    of a float, with one stage key. Of paths that share a value the one of whole numbers decides.
    What a variant leaves out is as in `base`.
    """
    return tuple(
        _ranged(name, entry) if entry.variants is None else _bundled(name, entry, base)
        for name, entry in space.items()
    )


def _ranged(name: str, entry: SpaceEntry) -> Parameter:
    paths = entry.names(name)
    whole = [path for path in paths if _is_whole(path)]
    typed = value_adapter((whole or paths)[0]).validate_python
    return Parameter(
        name=name,
        paths=paths,
        values=tuple(map(typed, entry.values)) if entry.values else None,
        low=typed(entry.low) if entry.low is not None else 0,
        high=typed(entry.high) if entry.high is not None else 0,
        step=entry.step,
        log=entry.log,
        integer=bool(whole),
    )


def _bundled(name: str, entry: SpaceEntry, base: PipelineConfig) -> Parameter:
    defaults = {path: flatten(base)[path] for path in entry.names(name)}
    variants = {
        variant: defaults
        | {path: value_adapter(path).validate_python(value) for path, value in bundle.items()}
        for variant, bundle in (entry.variants or {}).items()
    }
    return Parameter(
        name=name,
        paths=tuple(defaults),
        values=tuple(variants),
        low=0,
        high=0,
        step=None,
        log=False,
        integer=False,
        variants=variants,
    )


def grid(parameters: Sequence[Parameter]) -> list[dict[str, Scalar]]:
    """Return every combination, the first parameter varying slowest."""
    levels = [parameter.levels() or () for parameter in parameters]
    names = [parameter.name for parameter in parameters]
    return [dict(zip(names, combo, strict=True)) for combo in itertools.product(*levels)]


def settings(parameters: Iterable[Parameter], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return configuration values by path for chosen values by parameter name."""
    found: dict[str, Any] = {}
    for parameter in parameters:
        value = chosen[parameter.name]
        if parameter.variants is not None:
            found |= parameter.variants[value]
        else:
            found |= {p: value_adapter(p).validate_python(value) for p in parameter.paths}
    return found


def entry_problems(space: dict[str, SpaceEntry]) -> list[str]:
    """Return what is wrong with each entry of a space as a sentence: its paths, its values."""
    problems = _path_problems(space)
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
            if entry.step is not None and _is_whole(path) and not isinstance(entry.step, int):
                problems.append(
                    f"space.{name}: {path} takes whole numbers, so `step` must be one "
                    f"(got {entry.step})."
                )
    return problems


def grid_problems(space: dict[str, SpaceEntry], base: PipelineConfig) -> list[str]:
    """Return what keeps a space with right entries from being a grid, at most ten sentences."""
    parameters = parameters_of(space, base)
    problems = [
        f"space.{parameter.name}: a grid needs `values`, or a `step` for its range; "
        "or choose another sampler (random, tpe, nsga2)."
        for parameter in parameters
        if parameter.count() is None
    ]
    if problems:
        return problems
    size = math.prod(parameter.count() or 0 for parameter in parameters)
    if size > MAX_GRID:
        return [f"space: the grid has {size} configurations, more than {MAX_GRID}."]
    for chosen in grid(parameters):
        found = contradictions(with_values(base, settings(parameters, chosen)))
        problems += [f"space: with {chosen}, {problem}." for problem in found]
    return problems[:10]


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


def _is_whole(path: str) -> bool:
    return isinstance(flatten(PipelineConfig())[path], int)
