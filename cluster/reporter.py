"""What a person sees while a study runs: lines that stay, and one that moves on a terminal."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
)

from cluster.pace import Pace
from cluster.printing import plain
from cluster.ticking import every
from storage.study import StudySpec
from storage.summary import Configuration

LINE_SECONDS = 60.0
POLL_SECONDS = 1.0


class Reporter:
    """Prints to a console; on anything but a terminal nothing moves.

    Args:
        console: where to.
        beginnings: whether the beginning of a phase is a line: where it mostly takes a moment, the
            end is enough.
    """

    def __init__(self, console: Console, beginnings: bool = True) -> None:
        self.console, self._beginnings = console, beginnings
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._paces: dict[str, Pace] = {}
        self._told = 0.0

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def phase(self, name: str, done: int, total: int) -> None:
        """Show how far a preparation has come, how fast it is, and how long it still takes.

        A bar on a terminal, a line a minute elsewhere; its end is a line on both.
        """
        now = time.monotonic()
        if name not in self._tasks:
            if self._beginnings:
                self.line(f"{name}: {total} images")
            self._bars.start()
            self._tasks[name] = self._bars.add_task(name, total=total, completed=done, pace="")
            self._paces[name], self._told = Pace(done, now), now
        words = self._paces[name].words(done, total, now)
        self._bars.update(self._tasks[name], completed=done, pace=words)
        if done == total:
            self._bars.remove_task(self._tasks.pop(name))
            self._bars.stop()
            self.line(f"{name}: {words}")
        elif not self.console.is_terminal and now - self._told >= LINE_SECONDS:
            self.line(f"{name}: {done} of {total}, {words}")
            self._told = now

    @contextmanager
    def moving(self, status: Callable[[], str]) -> Iterator[None]:
        """Refresh a status line, from a thread, for the length of the block."""
        if not self.console.is_terminal:
            yield
            return
        progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), console=self.console, transient=True
        )
        task = progress.add_task("starting")

        def refresh() -> bool:
            progress.update(task, description=status())
            return True

        with progress, every(POLL_SECONDS, refresh):
            yield


def trial_line(configuration: Configuration, spec: StudySpec) -> str:
    """Return one line about a trial that ended."""
    values = ", ".join(
        f"{name}={plain(value)}" for name, value in configuration.searched.items() if value != "-"
    )
    if configuration.failed:
        return (
            f"trial {configuration.trial} ({values}): {configuration.failed} of "
            f"{configuration.failed + configuration.complete} seeds FAILED: "
            + "; ".join(error.splitlines()[0] for error in configuration.errors)
        )
    if configuration.stopped:
        return f"trial {configuration.trial} ({values}): stopped at " + "; ".join(
            configuration.stops
        )
    metrics = "  ".join(
        f"{name} {configuration.estimates[name].shown(name)}" for name in spec.objectives
    )
    mark = "  * on the front" if configuration.on_front else ""
    return f"trial {configuration.trial} ({values}): {metrics}{mark}"


def tally_lines(tally: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each stage that was asked for: how often computed, how often shared."""
    lines = []
    for stage, counts in tally.items():
        asked = sum(counts.values())
        if asked:
            lines.append(
                f"{stage:15} computed {counts['computed']:4}   reused "
                f"{counts['reused'] + counts['joined']:4}   of {asked} requests"
            )
    return lines


def best_so_far(configurations: Sequence[Configuration], spec: StudySpec) -> str:
    """Return the ends of the front so far: the best configuration in each objective."""
    front = [c for c in configurations if c.on_front]
    if not front:
        return "no front yet"
    ends = []
    for name, way in spec.objectives.items():
        sign = 1 if way == "max" else -1
        best = max(front, key=lambda c: sign * c.estimates[name].mean)
        ends.append(f"{name} {best.estimates[name].shown(name)} (trial {best.trial})")
    return f"front of {len(front)}: " + ", ".join(ends)
