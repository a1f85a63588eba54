"""The Pareto front as a study goes on: a configuration enters in the time of the front's size."""

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
        for configuration in configurations:
            self.enter(configuration)

    def enter(self, configuration: Configuration) -> Configuration:
        """Enter one with all its seeds; return it with whether it is on the front now."""
        new = self._values(configuration)
        complete = configuration.complete >= self._seeds and not configuration.failed
        others = [member for member in self.members if member.trial != configuration.trial]
        on_front = complete and not any(_dominates(self._values(m), new) for m in others)
        entered = replace(configuration, on_front=on_front)
        if on_front:
            others = [m for m in others if not _dominates(new, self._values(m))] + [entered]
        self.members = others
        return entered

    def _values(self, configuration: Configuration) -> tuple[float, ...]:
        return tuple(
            sign * configuration.estimates[name].mean for name, sign in self._signs.items()
        )


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other
