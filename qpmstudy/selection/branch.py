"""Branch and bound on the selected features, with the relaxation's bounds.

Best bound first, so that the bound falls as fast as it can. At every node features are fixed
whose other value the multipliers rule out ("reduced costs"). Node arrays hold feature indices.
"""

import heapq
import itertools
import math
import time
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from qpmstudy.selection.base import ROUNDING, Limits
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.relaxation import Multipliers, Relaxation
from qpmstudy.selection.search import Candidate, Search

_STEPS = 60
"""L-BFGS steps a round; cuts are sought after each round."""
_ROOT_ROUNDS, _NODE_ROUNDS = 60, 3
_START, _FINEST, _SHRINK = 0.03, 0.0005, 0.6
"""Smoothing, relative to what a feature earns with the best entries: first, last, factor."""
_STALLED = 0.15
"""Smoothing is refined when a round gains less than this share of what smoothing hides."""
_TRY_EVERY = 5
"""Rounds at the root between two searches that start from the multipliers' choice."""
_WARM = 0.001
"""Smoothing that a node starts with."""
_SLOW = 0.02
"""Rounds end when one gains, and smoothing hides, less than this share of what is missing."""
_ENUMERATED = 50
"""A node with at most this many selections left is settled by looking at all of them."""


@dataclass(frozen=True)
class Node:
    """Selections that contain `inside` and otherwise only features of `free`."""

    inside: Int[np.ndarray, " I"]
    free: Int[np.ndarray, " U"]
    bound: float
    branch_on: int
    start: Multipliers


class BranchAndBound:
    """One run: `best` only rises, `settled` is the highest bound of what was ruled out.

    `bound` only falls: no feasible answer is better.
    """

    def __init__(
        self,
        problem: SelectionProblem,
        search: Search,
        best: Candidate,
        limits: Limits,
        deadline: float,
    ) -> None:
        self.problem = problem
        self.search = search
        self.best = best
        self.settled = -math.inf
        self.bound = math.inf
        self._gap = limits.gap
        self._trace = limits.trace
        self._deadline = deadline
        self._order = itertools.count()
        self._open: list[tuple[float, int, Node]] = []
        self._tried: set[bytes] = set()
        self._per_entry = search.per_entry
        k, classes = problem.per_class, search.V.shape[1]
        self._per_feature = self._per_entry * k * classes / problem.n_features
        self._trace.note(best.objective, self.bound)

    @property
    def _target(self) -> float:
        size = abs(self.best.objective)
        return self.best.objective + max(self._gap * size, ROUNDING * max(1.0, size))

    def run(self) -> bool:
        """Branch until everything is settled (True) or the time is up (False)."""
        everything = np.arange(len(self.problem.relevance))
        start = Multipliers.at(self.search, self.best)
        self._bound_node(everything[:0], everything, math.inf, start)
        while self._open:
            self._lower(-self._open[0][0])
            if self.bound <= self._target:
                return True
            if self._late():
                return False
            _, _, node = heapq.heappop(self._open)
            others = node.free[node.free != node.branch_on]
            inside = np.append(node.inside, node.branch_on)
            self._bound_node(inside, others, node.bound, node.start)
            self._bound_node(node.inside, others, node.bound, node.start)
        self._lower(-math.inf)
        return True

    def _lower(self, waiting: float) -> None:
        """Take a bound of all that is not settled."""
        self.bound = min(self.bound, max(self.best.objective, self.settled, waiting))
        self._trace.note(self.best.objective, self.bound)

    def _late(self) -> bool:
        return time.perf_counter() > self._deadline

    def _offer(self, candidate: Candidate) -> None:
        if candidate.objective > self.best.objective:
            self.best = candidate
            self._trace.note(candidate.objective, self.bound)

    def _bound_node(
        self,
        inside: Int[np.ndarray, " I"],
        free: Int[np.ndarray, " U"],
        inherited: float,
        start: Multipliers,
    ) -> None:
        """Bound a part of the tree, then settle it or put it among the open nodes."""
        n = self.problem.n_features - len(inside)
        if n < 0 or n > len(free):
            return
        if math.comb(len(free), n) <= _ENUMERATED:
            self._enumerate(inside, free, n)
            return
        relaxation = Relaxation(self.problem, inside, free, start)
        root = inherited == math.inf
        L, r = self._tighten(relaxation, root)
        bound = min(L, inherited)
        if bound <= self._target:
            self.settled = max(self.settled, bound)
            return
        fixed_in, left = self._fix(free, r[len(inside) :], n, L)
        undecided = dict(zip(free.tolist(), relaxation.undecided().tolist(), strict=True))
        inside = np.concatenate([inside, fixed_in])
        n = self.problem.n_features - len(inside)
        if math.comb(len(left), n) <= _ENUMERATED:
            self._enumerate(inside, left, n)
            return
        branch_on = max(left.tolist(), key=lambda d: (undecided[d], -d))
        node = Node(inside, left, bound, branch_on, relaxation.multipliers())
        heapq.heappush(self._open, (-bound, next(self._order), node))

    def _tighten(self, relaxation: Relaxation, root: bool) -> tuple[float, Float[np.ndarray, " D"]]:
        """Minimise with finer and finer smoothing and more cuts until it pays no longer."""
        theta, slow = (_START, _SLOW / 4) if root else (_WARM, _SLOW)
        best, best_r = math.inf, np.zeros(0)
        for rounds in range(1, 1 + (_ROOT_ROUNDS if root else _NODE_ROUNDS)):
            smooth = relaxation.minimise(
                theta * self._per_feature, 2 * theta * self._per_entry, _STEPS
            )
            bound, r = relaxation.bound()
            gained, blur = best - bound, bound - smooth
            if bound < best:
                best, best_r = bound, r
            if root:
                self._lower(best)
            if root and rounds % _TRY_EVERY == 0:
                self._try(relaxation, r)
            missing = best - self._target
            if missing <= 0 or self._late():
                break
            n_cuts = relaxation.add_cuts()
            if gained + blur < slow * missing or (not n_cuts and theta == _FINEST):
                break
            if gained < _STALLED * blur:
                theta = max(theta * _SHRINK, _FINEST)
        if best > self._target:
            self._try(relaxation, best_r)
        return best, best_r

    def _try(self, relaxation: Relaxation, r: Float[np.ndarray, " D"]) -> None:
        """Climb from the selection that the multipliers favour, unless that was done before."""
        rank = r.copy()
        rank[: relaxation.n_inside] = np.inf
        favoured = np.argsort(-rank, kind="stable")[: self.problem.n_features]
        start = np.sort(relaxation.columns[favoured])
        if start.tobytes() not in self._tried:
            self._tried.add(start.tobytes())
            self._offer(self.search.climb(start, self._deadline))

    def _fix(
        self, free: Int[np.ndarray, " U"], r: Float[np.ndarray, " U"], n: int, L: float
    ) -> tuple[Int[np.ndarray, " I"], Int[np.ndarray, " L"]]:
        """Return the features that must be selected and those that stay open.

        Forcing a feature against the relaxation's choice costs at least its distance in r to
        the best one on the other side. L and r must come from the same multipliers.
        """
        order = np.argsort(-r, kind="stable")
        chosen, rest = order[:n], order[n:]
        if_out = L - (r[chosen] - r[rest[0]])
        if_in = L - (r[chosen[-1]] - r[rest])
        forced, barred = if_out <= self._target, if_in <= self._target
        ruled_out = np.concatenate([if_out[forced], if_in[barred]])
        self.settled = max(self.settled, ruled_out.max(initial=-math.inf))
        return free[chosen[forced]], free[np.concatenate([chosen[~forced], rest[~barred]])]

    def _enumerate(
        self, inside: Int[np.ndarray, " I"], free: Int[np.ndarray, " U"], n: int
    ) -> None:
        for chosen in itertools.combinations(free.tolist(), n):
            selected = np.concatenate([inside, np.array(chosen, dtype=np.int64)])
            if self.search.value(selected) > self.best.objective:
                self._offer(self.search.evaluate(selected))
