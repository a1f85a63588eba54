"""Good selections quickly: swap descent and tabu search, with the gains of all swaps at once.

V: profit (F, C), P: symmetric pair penalties (F, F), b: bias (F,). Without the rule that no two
classes are alike the value of a set of features is

    G(s) = sum_c (sum of the k largest V[d,c], d in s) - sum_{i<j in s} P[i,j] + sum_{d in s} b_d,

an upper bound of its true value, which `best_assignment` gives. The descent climbs G, then the
true value among the swaps that G does not rule out.
"""

import time
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from qpmstudy.selection.assignment import best_assignment
from qpmstudy.selection.problem import SelectionProblem

_TOLERANCE = 1e-9
_TENURE = 10
"""Steps for which a swapped feature stays as it is, at most."""
_EXACT_TRIES = 30
"""Neighbours of a local optimum of G whose true value is looked at, best G first."""


@dataclass(frozen=True)
class Candidate:
    """A selection with its best assignment and true objective."""

    selected: Int[np.ndarray, " S"]
    assignment: Bool[np.ndarray, "C S"]
    objective: float


class Search:
    """Swap search on one problem."""

    def __init__(self, problem: SelectionProblem) -> None:
        n_given = len(problem.relevance)
        self.problem = problem
        self.V = problem.profit
        self.P = (
            np.zeros((n_given, n_given)) if problem.pair_penalty is None else problem.pair_penalty
        )
        self.b = np.zeros(n_given) if problem.bias is None else problem.bias
        self._known: dict[bytes, float] = {}
        self._by_class = np.ascontiguousarray(self.V.T)
        self._floor = self.V.min(axis=0)  # stands in for "no feature" while s is filled

    @property
    def per_entry(self) -> float:
        """Mean size of the k best entries of a class, which smoothing is measured by; never 0."""
        k = self.problem.per_class
        return float(np.sort(np.abs(self.V), axis=0)[-k:].mean()) or 1.0

    def evaluate(self, selected: Int[np.ndarray, " S"]) -> Candidate:
        """Return the true value of a selection, with its best assignment."""
        selected = np.sort(selected)
        assignment = best_assignment(self.V[selected], self.problem.per_class)
        return Candidate(selected, assignment, self.problem.objective(selected, assignment))

    def true_value(self, selected: Int[np.ndarray, " S"]) -> float:
        """Return the objective of `evaluate`, remembered."""
        key = np.sort(selected).tobytes()
        if key not in self._known:
            self._known[key] = self.evaluate(selected).objective
        return self._known[key]

    def greedy(self) -> Int[np.ndarray, " S"]:
        """Return the features that raise G most, one after the other."""
        n, k = self.problem.n_features, self.problem.per_class
        best = np.tile(self._floor, (k, 1))  # k largest of the chosen, ascending
        price = self.b.copy()
        chosen: list[int] = []
        for _ in range(n):
            gain = np.maximum(self.V - best[0], 0.0).sum(axis=1) + price
            gain[chosen] = -np.inf
            d = int(np.argmax(gain))
            chosen.append(d)
            best[0] = np.maximum(best[0], self.V[d])
            best.sort(axis=0)
            price -= self.P[d]
        return np.array(chosen)

    def value(self, selected: Int[np.ndarray, " S"]) -> float:
        """Return G."""
        n, k = len(selected), self.problem.per_class
        top = np.partition(self._by_class[:, selected], n - k, axis=1)[:, n - k :]
        pairs = 0.5 * self.P[np.ix_(selected, selected)].sum()
        return float(top.sum() - pairs + self.b[selected].sum())

    def swap_gains(self, selected: Int[np.ndarray, " S"]) -> Float[np.ndarray, "S F"]:
        """Return G(s - s_i + j) - G(s) for every i, j; -inf where j is in s already.

        With t_k, t_k+1 the k-th and next largest value of a class in s, adding j gains
        (V_j - t_k)^+ and, where i was among the k largest, clip(V_j, t_k+1, t_k) - V_i more.
        Both are sums over the few cells where V exceeds t_k+1.
        """
        n, k = len(selected), self.problem.per_class
        n_classes, n_given = self._by_class.shape
        inside = self._by_class[:, selected]
        kept = min(k + 1, n)
        order = np.argpartition(-inside, np.arange(kept), axis=1)[:, :kept]
        ranked = np.take_along_axis(inside, order, axis=1)
        t_k = ranked[:, k - 1]
        t_next = ranked[:, k] if k < n else self._floor
        holder = csr_matrix(
            (np.ones(k * n_classes), (order[:, :k].ravel(), np.arange(n_classes).repeat(k))),
            shape=(n, n_classes),
        )
        c, j = np.divmod(np.flatnonzero(self._by_class > t_next[:, None]), n_given)
        above = self._by_class[c, j] - t_k[c]
        add = np.bincount(j, np.maximum(above, 0.0), n_given) + self.b
        add -= self.P[selected].sum(axis=0)
        replace = csr_matrix(
            (np.minimum(above, 0.0) + (t_k - t_next)[c], (c, j)), shape=(n_classes, n_given)
        )
        loss = holder @ (-t_next) + np.bincount(order[:, :k].ravel(), ranked[:, :k].ravel(), n)
        loss += self.b[selected] - self.P[np.ix_(selected, selected)].sum(axis=1)
        gains: Float[np.ndarray, "S F"] = (holder @ replace).toarray()
        gains += add + self.P[selected] - loss[:, None]
        gains[:, selected] = -np.inf
        return gains

    def descend(self, selected: Int[np.ndarray, " S"], deadline: float) -> Int[np.ndarray, " S"]:
        """Return a selection that no swap improves in G (or the best until the deadline)."""
        selected = selected.copy()
        while time.perf_counter() < deadline:
            gains = self.swap_gains(selected)
            i, j = np.unravel_index(int(np.argmax(gains)), gains.shape)
            if gains[i, j] <= _TOLERANCE:
                break
            selected[i] = j
        return selected

    def climb(self, selected: Int[np.ndarray, " S"], deadline: float) -> Candidate:
        """Return a selection that none of its most promising swaps improves in true value."""
        best = self.evaluate(self.descend(selected, deadline))
        while time.perf_counter() < deadline:
            better = self._better_neighbour(best)
            if better is None:
                break
            best = better
        return best

    def explore(
        self, start: Candidate, steps: int, rng: np.random.Generator, deadline: float
    ) -> Candidate:
        """Return the best selection of a tabu search over swaps.

        Every step makes the best swap in G, also one for the worse; what was swapped may not be
        swapped back for a while, unless that beats the best so far.
        """
        n, n_given = self.problem.n_features, len(self.b)
        longest = min(_TENURE, max(1, min(n, n_given - n) // 2))
        best, selected, G = start, start.selected.copy(), self.value(start.selected)
        free_at = np.zeros(n_given, dtype=np.int64)
        for step in range(steps if n < n_given else 0):
            if time.perf_counter() > deadline:
                break
            gains = self.swap_gains(selected)
            tabu = (free_at[selected] > step)[:, None] | (free_at > step)
            gains[tabu & (G + gains <= best.objective + _TOLERANCE)] = -np.inf
            i, j = np.unravel_index(int(np.argmax(gains)), gains.shape)
            if gains[i, j] == -np.inf:
                continue
            G += float(gains[i, j])
            tenures = rng.integers((longest + 1) // 2, longest + 1, 2)
            free_at[selected[i]] = step + 1 + tenures[0]
            free_at[j] = step + 1 + tenures[1] // 2
            selected[i] = j
            if best.objective + _TOLERANCE < G and self.true_value(selected) > best.objective:
                best = self.evaluate(selected)
        return self.climb(best.selected, deadline)

    def _better_neighbour(self, best: Candidate) -> Candidate | None:
        lost = self.value(best.selected) - best.objective
        if lost <= _TOLERANCE * max(1.0, abs(best.objective)):
            return None  # no classes were alike, so G is the true value here
        gains = self.swap_gains(best.selected)
        order = np.argsort(-gains, axis=None, kind="stable")[:_EXACT_TRIES]
        for i, j in zip(*np.unravel_index(order, gains.shape), strict=True):
            if gains[i, j] + lost <= _TOLERANCE:
                return None
            neighbour = best.selected.copy()
            neighbour[i] = j
            if self.true_value(neighbour) > best.objective + _TOLERANCE:
                return self.evaluate(neighbour)
        return None
