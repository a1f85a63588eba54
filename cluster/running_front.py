"""The Pareto front as a study goes on: a configuration enters in the time of the front's size."""

import math
from collections.abc import Iterable
from dataclasses import replace

from storage.study import StudySpec
from storage.summary import Configuration

Point = tuple[float, ...]
"""A value for each objective, the larger the better; configurations may share one."""


class RunningFront:
    """The configurations that none of those entered dominates."""

    def __init__(self, spec: StudySpec, configurations: Iterable[Configuration]) -> None:
        self._seeds = spec.seeds.min
        self._signs = {n: 1 if way == "max" else -1 for n, way in spec.objectives.items()}
        self._points: dict[Point, list[Configuration]] = {}  # of the front
        self._whole: dict[int, Configuration] = {}  # with all their seeds
        for configuration in configurations:
            self.enter(configuration)

    @property
    def members(self) -> list[Configuration]:
        """Return the configurations on the front."""
        return [member for members in self._points.values() for member in members]

    def enter(self, configuration: Configuration) -> Configuration:
        """Enter one with all its seeds; return it with whether it is on the front now."""
        known = self._whole.pop(configuration.trial, None)
        if configuration.complete >= self._seeds:
            self._whole[configuration.trial] = configuration
        if known is not None:  # whom it dominated before may be on the front now
            self._points = {}
            for other in self._whole.values():
                self._add(other)
        elif configuration.trial in self._whole:
            self._add(configuration)
        equals = self._points.get(self._point(configuration), [])
        on_front = any(member.trial == configuration.trial for member in reversed(equals))
        return replace(configuration, on_front=on_front)

    def _add(self, configuration: Configuration) -> None:
        new = self._point(configuration)
        if any(math.isnan(value) for value in new):
            return
        if new not in self._points:
            if any(_dominates(point, new) for point in self._points):
                return
            kept = {p: m for p, m in self._points.items() if not _dominates(new, p)}
            self._points = kept | {new: []}
        self._points[new].append(replace(configuration, on_front=True))

    def _point(self, configuration: Configuration) -> Point:
        return tuple(
            sign * configuration.estimates[name].mean for name, sign in self._signs.items()
        )


def _dominates(one: Point, other: Point) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other
