"""The space of a study: which configuration values are varied, and over what."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import field_validator, model_validator

from qpmstudy.config import PipelineConfig, flatten
from storage.study.validation import Frozen, value_adapter

Scalar = bool | int | float | str
MAX_GRID = 100_000


class SpaceEntry(Frozen):
    """One entry under `space`: a list of values, a range, or named bundles of values."""

    paths: tuple[str, ...] | None = None
    """The configuration values that get one and the same value; none: the entry's name is one."""
    values: tuple[Scalar, ...] | None = None
    """What is tried."""
    variants: dict[str, dict[str, Scalar]] | None = None
    """Whole settings, such as the rows of a table: a label, and below it value by path."""
    low: int | float | None = None
    """Begin of a range; with it go `high`, and `log` or `step` if wanted."""
    high: int | float | None = None
    """End of a range, which is part of it."""
    step: int | float | None = None
    """Distance of the values in a range that are tried."""
    log: bool = False
    """Whether a range is searched by orders of magnitude."""
    when: dict[str, tuple[Scalar, ...]] | None = None
    """Values or variants of entries above with which this one is varied; none: with all."""

    @field_validator("when", mode="before")
    @classmethod
    def _single(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {key: v if isinstance(v, list | tuple) else [v] for key, v in given.items()}

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
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def active(self, chosen: Mapping[str, Any]) -> bool:
        """Return whether it is varied, given what the parameters before it have.

        Where it is not, its paths have their values of the pipeline.
        """
        return all(
            name in chosen and chosen[name] in allowed for name, allowed in self.when.items()
        )

    def value_in(self, row: Mapping[str, Any]) -> Any:
        """Return which value or variant a configuration by path has; None: no variant."""
        if self.variants is None:
            return row[self.paths[0]]
        fitting = (
            name
            for name, bundle in self.variants.items()
            if all(row[path] == value for path, value in bundle.items())
        )
        return next(fitting, None)

    def allows(self, value: Any) -> bool:
        """Return whether it may have a value; None, as in rows of older versions, is none."""
        if self.values is not None:
            return value in self.values
        if value is None or not self.low <= value <= self.high:
            return False
        steps: float = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-9)

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
    whole = [path for path in paths if is_whole(path)]
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
        when=entry.when or {},
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
        when=entry.when or {},
    )


def written(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry, as JSON types, without what is as by default."""
    return {key: value for key, value in entry.items() if value is not None and value is not False}


def grid(parameters: Sequence[Parameter]) -> list[dict[str, Scalar]]:
    """Return every combination, the first parameter varying slowest.

    A parameter that is not varied beside the values before it is left out.
    """
    points: list[dict[str, Scalar]] = [{}]
    for parameter in parameters:
        levels = parameter.levels() or ()
        points = [
            longer
            for point in points
            for longer in (
                [point | {parameter.name: level} for level in levels]
                if parameter.active(point)
                else [point]
            )
        ]
    return points


def values_in(parameters: Iterable[Parameter], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a configuration by path has for each parameter that is varied in it."""
    found: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.active(found):
            found[parameter.name] = parameter.value_in(row)
    return found


def settings(parameters: Iterable[Parameter], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return configuration values by path for chosen values by parameter name.

    Parameters without one are not varied beside the others: the pipeline decides.
    """
    found: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name not in chosen:
            continue
        value = chosen[parameter.name]
        if parameter.variants is not None:
            found |= parameter.variants[value]
        else:
            found |= {p: value_adapter(p).validate_python(value) for p in parameter.paths}
    return found


def is_whole(path: str) -> bool:
    """Return whether a configuration value is a whole number."""
    return isinstance(flatten(PipelineConfig())[path], int)
