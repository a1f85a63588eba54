"""The Pareto front as a study goes on: a configuration enters in the time of the front's size."""

import math
from collections.abc import Iterable
from dataclasses import replace

from storage.study import StudySpec
from storage.summary import Configuration


class RunningFront:
    """The configurations that none of those entered dominates."""

    def __init__(self, spec: StudySpec, configurations: Iterable[Configuration]) -> None:
        self._seeds = spec.seeds.min
        self._signs = {n: 1 if way == "max" else -1 for n, way in spec.objectives.items()}
        self.members: list[Configuration] = []
        self._whole: dict[int, Configuration] = {}  # with all their seeds
        for configuration in configurations:
            self.enter(configuration)

    def enter(self, configuration: Configuration) -> Configuration:
        """Enter one with all its seeds; return it with whether it is on the front now."""
        known = self._whole.pop(configuration.trial, None)
        if configuration.complete >= self._seeds:
            self._whole[configuration.trial] = configuration
        if known is not None:  # whom it dominated before may be on the front now
            self.members = []
            for other in self._whole.values():
                self._add(other)
        elif configuration.trial in self._whole:
            self._add(configuration)
        on_front = any(member.trial == configuration.trial for member in self.members)
        return replace(configuration, on_front=on_front)

    def _add(self, configuration: Configuration) -> None:
        new = self._values(configuration)
        if any(math.isnan(value) for value in new):
            return
        if not any(_dominates(self._values(member), new) for member in self.members):
            kept = [m for m in self.members if not _dominates(new, self._values(m))]
            self.members = [*kept, replace(configuration, on_front=True)]

    def _values(self, configuration: Configuration) -> tuple[float, ...]:
        return tuple(
            sign * configuration.estimates[name].mean for name, sign in self._signs.items()
        )


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other
