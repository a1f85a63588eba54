"""What a solver of the selection problem has to offer: an answer, its bound, and its progress."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Int

from qpmstudy.selection.problem import SelectionProblem


class Status(Enum):
    """What is known about an answer."""

    OPTIMAL = "optimal"
    """Proven: no better answer exists (up to rounding)."""
    GAP_REACHED = "gap_reached"
    """Proven to be within the relative gap that was asked for."""
    TIME_LIMIT = "time_limit"
    """The time was spent before the gap was closed; the bound is still valid."""

    @classmethod
    def of(cls, objective: float, bound: float, finished: bool) -> "Status":
        """Return the status of an answer whose solver finished, or ran out of time."""
        if relative_gap(objective, bound) == 0.0:
            return cls.OPTIMAL
        return cls.GAP_REACHED if finished else cls.TIME_LIMIT


@dataclass(frozen=True)
class Progress:
    """Where a solve stands: the best answer so far and what it can still gain."""

    seconds: float
    """Since the solve began."""
    objective: float
    bound: float

    @property
    def gap(self) -> float:
        """Relative distance of the bound: (bound - objective) / |objective|."""
        return relative_gap(self.objective, self.bound)


class Trace:
    """What a solver reports while it works: each better answer and each lower bound.

    `listener` hears of every step as it is made, in the thread that solves.
    """

    def __init__(self, listener: Callable[[Progress], None] | None = None) -> None:
        self.steps: list[Progress] = []
        self._listener = listener
        self._begin = time.perf_counter()

    def note(self, objective: float, bound: float) -> None:
        """Keep a step if either value is better than before; a bound may be infinite."""
        if self.steps:
            last = self.steps[-1]
            objective, bound = max(objective, last.objective), min(bound, last.bound)
            no_better = relative_gap(last.objective, objective) == 0
            if no_better and (bound == last.bound or relative_gap(bound, last.bound) == 0):
                return
        step = Progress(time.perf_counter() - self._begin, objective, bound)
        self.steps.append(step)
        if self._listener:
            self._listener(step)


@dataclass(frozen=True)
class Selection:
    """An answer to a `SelectionProblem` and what is known about its quality."""

    selected: Int[np.ndarray, " S"]
    """Indices of the selected features, ascending."""
    assignment: Bool[np.ndarray, "C S"]
    """Which class uses which of them; column j belongs to selected[j]."""
    objective: float
    bound: float
    """No feasible answer has a higher objective."""
    status: Status
    solver: str
    seconds: float
    trace: tuple[Progress, ...] = ()
    """How objective and bound came about, first to last."""
    fallback: str | None = None
    """Why another solver than the one asked for answered (for `auto`: why not Gurobi)."""

    @property
    def gap(self) -> float:
        """Relative distance of the bound: (bound - objective) / |objective|."""
        return relative_gap(self.objective, self.bound)


@dataclass(frozen=True)
class Limits:
    """When a solver may stop, what it may use, and whom it tells of its progress."""

    gap: float
    """Relative gap (bound - objective) / |objective| that is good enough."""
    time_limit: float
    """Seconds."""
    seed: int
    """Equal seeds give equal searches."""
    threads: int = 1
    """Cores that the solver may use."""
    trace: Trace = field(default_factory=Trace)
    """Solvers note every better answer and every lower bound here."""


class Solver(Protocol):
    """A way to solve the problem. Stateless: one instance may solve many problems."""

    name: str

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None when the solver can take this problem on, else the reason why not."""

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return a feasible selection with a valid upper bound."""


def relative_gap(objective: float, bound: float) -> float:
    """Return (bound - objective) / |objective|, 0 when they agree up to rounding."""
    difference = bound - objective
    if difference <= ROUNDING * max(1.0, abs(objective)):
        return 0.0
    return difference / abs(objective) if objective else math.inf


ROUNDING = 1e-9
"""Relative differences of objectives below this are rounding."""
