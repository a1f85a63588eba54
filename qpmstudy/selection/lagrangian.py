"""The open solver: swap search for the answer, Lagrangian bounds and branch and bound for proof.

One core: the vectors are short, and threads of BLAS that wait for each other made it five
times slower.
"""

import math
import time

import numpy as np
from threadpoolctl import (  # type: ignore[import-untyped]  # it ships no annotations
    threadpool_limits,
)

from qpmstudy.selection.base import Limits, Selection, Status
from qpmstudy.selection.branch import BranchAndBound
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.search import Candidate, Search

_TABU_STEPS, _STEPS_A_FEATURE = 400, 8
"""Steps of the tabu search before the bounds are computed: in all, and per feature given."""
_SEARCH_SHARE = 0.1
"""Largest share of the time limit that this search may take."""


class LagrangianSolver:
    """`lagrangian`: takes every problem; deterministic for a seed unless time runs out."""

    name = "lagrangian"

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None: there is no problem that this solver refuses."""
        return None

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return the best selection found, its bound, and how it stopped."""
        begin = time.perf_counter()
        search = Search(problem)
        with threadpool_limits(1, user_api="blas"):
            best = first_answer(search, limits, begin + _SEARCH_SHARE * limits.time_limit)
            tree = BranchAndBound(problem, search, best, limits, begin + limits.time_limit)
            finished = tree.run()
        objective, bound = tree.best.objective, tree.bound
        return Selection(
            selected=tree.best.selected,
            assignment=tree.best.assignment,
            objective=objective,
            bound=bound,
            status=Status.of(objective, bound, finished),
            solver=self.name,
            seconds=time.perf_counter() - begin,
        )


def first_answer(search: Search, limits: Limits, deadline: float) -> Candidate:
    """Return a good selection: greedy, swap descent, then tabu search."""
    start = search.climb(search.greedy(), deadline)
    limits.trace.note(start.objective, math.inf)
    steps = min(_TABU_STEPS, _STEPS_A_FEATURE * len(search.b))
    return search.explore(start, steps, np.random.default_rng(limits.seed), deadline)
