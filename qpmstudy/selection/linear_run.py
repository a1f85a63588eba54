"""What the solvers of the linear model share: warm start, cuts, best answer, bound and report."""

import math
import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import (  # type: ignore[import-untyped]  # it ships no annotations
    threadpool_limits,
)

from qpmstudy.selection.assignment import alike, top_sets
from qpmstudy.selection.base import Limits, Selection, Status, relative_gap
from qpmstudy.selection.lagrangian import first_answer
from qpmstudy.selection.linear import LinearModel
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.relaxation import Multipliers, Relaxation
from qpmstudy.selection.search import Candidate, Search

_SEARCH_SHARE, _ROOT_SHARE = 0.1, 0.1
"""Largest shares of the time limit for the first answer and for the cuts."""
_PRECISION = 1e-6
"""Relative precision of these solvers: they hold integrality and rows to such tolerances."""
_ROUNDS, _STEPS = 40, 60
"""Rounds of the relaxation, each followed by a search for cuts, and L-BFGS steps a round."""
_COARSE, _FINE, _SHRINK = 0.03, 0.0005, 0.75
"""Smoothing, relative to what a feature earns with the best entries: first, last, factor."""
_WORTH = 0.02
"""A round at the finest smoothing must gain this share of what is missing."""


class Shared(NamedTuple):
    """Classes that are alike in a solution of the model, and the features they have."""

    features: Int[np.ndarray, " K"]
    classes: Int[np.ndarray, " G"]


class Run:
    """One solve: the model, and what is known of the problem so far.

    The first answer is the open solver's, and the model has the cuts of its relaxation: they
    took HiGHS from no proof in 33 s to 0.5 s on 96x40, and Gurobi from 6.3 s to 2.1 s on the
    hardest problem found that its size-limited license covers (0.2 to 0.9 s lost on easy ones).
    """

    def __init__(
        self, problem: SelectionProblem, limits: Limits, most_rows: float = math.inf
    ) -> None:
        self.limits = limits
        self._begin = time.perf_counter()
        self._search = Search(problem)
        self.model = LinearModel(problem)
        with threadpool_limits(1, user_api="blas"):
            deadline = self._begin + _SEARCH_SHARE * limits.time_limit
            self.best = first_answer(self._search, limits, deadline)
            deadline = time.perf_counter() + _ROOT_SHARE * limits.time_limit
            self.bound, cuts = _root(problem, self._search, self.best, deadline)
        self._note()
        spare = most_rows - self.model.rows.shape[0]
        self.model.add_cuts(cuts, int(min(spare, len(cuts.cliques) + len(cuts.differences))))

    @property
    def left(self) -> float:
        """Seconds until the time limit."""
        return self.limits.time_limit - (time.perf_counter() - self._begin)

    @property
    def closed(self) -> bool:
        """Whether the gap asked for is reached, as far as these solvers can tell."""
        return relative_gap(self.best.objective, self.bound) <= max(self.limits.gap, _PRECISION)

    @property
    def clashes(self) -> list[Int[np.ndarray, " G"]]:
        """Groups of classes that would be alike if each took its best of the best selection."""
        V, k = self._search.V[self.best.selected], self._search.problem.per_class
        return alike(top_sets(V, k))

    def offer(self, x: Float[np.ndarray, " X"]) -> list[Shared]:
        """Take the features of a solution, each class with its best; return what classes share.

        Classes that are alike in x get different features here, so x is an answer all the same.
        """
        selected, assignment = self.model.decode(x)
        candidate = self._search.evaluate(selected)
        if candidate.objective > self.best.objective:
            self.best = candidate
            self._note()
        return [Shared(selected[assignment[group[0]]], group) for group in alike(assignment)]

    def lower(self, bound: float) -> None:
        """Take an upper bound of any model, each of which is a relaxation of the problem."""
        if bound < self.bound:
            self.bound = bound
            self._note()

    def _note(self) -> None:
        self.limits.trace.note(self.best.objective, max(self.bound, self.best.objective))

    def answer(self, solver: str, finished: bool) -> Selection:
        """Return the best selection."""
        bound = max(self.bound, self.best.objective)
        return Selection(
            selected=self.best.selected,
            assignment=self.best.assignment,
            objective=self.best.objective,
            bound=bound,
            status=Status.of(self.best.objective, bound, finished),
            solver=solver,
            seconds=time.perf_counter() - self._begin,
        )


def _root(
    problem: SelectionProblem, search: Search, best: Candidate, deadline: float
) -> tuple[float, Multipliers]:
    """Return the relaxation's bound and multipliers after a few rounds of finer smoothing."""
    F, C = problem.relevance.shape
    k, n = problem.per_class, problem.n_features
    start = Multipliers.at(search, best)
    relaxation = Relaxation(problem, np.arange(0), np.arange(F), start)
    entry = search.per_entry
    theta, bound = _COARSE, relaxation.bound()[0]
    for _ in range(_ROUNDS):
        relaxation.minimise(theta * entry * k * C / n, 2 * theta * entry, _STEPS)
        before, bound = bound, min(bound, relaxation.bound()[0])
        missing = bound - best.objective
        n_cuts = relaxation.add_cuts()
        if missing <= _PRECISION * abs(bound) or time.perf_counter() > deadline:
            break
        if theta == _FINE and (not n_cuts or before - bound < _WORTH * missing):
            break
        theta = max(theta * _SHRINK, _FINE)
    return bound, relaxation.multipliers()
