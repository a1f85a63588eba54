"""The selection problem as a mixed-integer linear programme, for the solvers that take one.

Variables: s_d (binary), w_dc (binary), y_e in [0, 1] for the pairs e = (i, j) with a penalty.
Rows: sum s = N*;  sum_d w_dc = k;  w_dc <= s_d;  s_i + s_j - y_ij <= 1.  That no two classes are
alike is enforced in rounds: solve, forbid what was alike, solve again. Every round is a
relaxation of the next, so its bound holds.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.sparse import csr_matrix, vstack

from qpmstudy.selection.assignment import alike
from qpmstudy.selection.base import Limits, Selection, Status, relative_gap
from qpmstudy.selection.lagrangian import first_answer
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.search import Candidate, Search

_SEARCH_SHARE = 0.1
"""Largest share of the time limit for the warm start."""
_PRECISION = 1e-6
"""Relative precision of these solvers: they hold integrality and rows to such tolerances."""


class LinearModel:
    """maximise profit @ x subject to lower <= rows @ x <= upper and 0 <= x <= 1."""

    def __init__(self, problem: SelectionProblem) -> None:
        self.problem = problem
        F, C = problem.relevance.shape
        self.pairs = penalised_pairs(problem)
        n_pairs = len(self.pairs)
        bias = np.zeros(F) if problem.bias is None else problem.bias
        prices = np.zeros(0)
        if problem.pair_penalty is not None:
            prices = -problem.pair_penalty[self.pairs[:, 0], self.pairs[:, 1]]
        self.profit: Float64[np.ndarray, " X"] = np.concatenate(
            [bias, problem.profit.ravel(), prices]
        )
        self.n_binary = F + F * C
        features, w = np.arange(F), F + np.arange(F * C).reshape(F, C)
        y = self.n_binary + np.arange(n_pairs)
        blocks = [
            self._rows(features[None, :], np.ones(F)),
            self._rows(w.T, np.ones(F)),
            self._rows(np.stack([w.ravel(), features.repeat(C)], axis=1), np.array([1.0, -1.0])),
            self._rows(np.column_stack([self.pairs, y]), np.array([1.0, 1.0, -1.0])),
        ]
        self.rows = vstack(blocks, format="csr")
        exact = np.array([problem.n_features, *[problem.per_class] * C], dtype=np.float64)
        at_most = np.repeat([0.0, 1.0], [F * C, n_pairs])
        self.lower: Float64[np.ndarray, " Y"] = np.concatenate(
            [exact, np.full(len(at_most), -np.inf)]
        )
        self.upper: Float64[np.ndarray, " Y"] = np.concatenate([exact, at_most])

    def _rows(self, columns: Int[np.ndarray, "Y T"], values: Float[np.ndarray, " T"]) -> csr_matrix:
        n_rows, n_terms = columns.shape
        starts = np.arange(n_rows + 1) * n_terms
        data = (np.tile(values, n_rows), columns.ravel(), starts)
        return csr_matrix(data, shape=(n_rows, len(self.profit)))

    def encode(self, candidate: Candidate) -> Float64[np.ndarray, " X"]:
        """Return the values of all variables in a solution."""
        F, C = self.problem.relevance.shape
        s, w = np.zeros(F), np.zeros((F, C))
        s[candidate.selected] = 1.0
        w[candidate.selected] = candidate.assignment.T
        y = s[self.pairs[:, 0]] * s[self.pairs[:, 1]]
        return np.concatenate([s, w.ravel(), y])

    def decode(
        self, x: Float[np.ndarray, " X"]
    ) -> tuple[Int[np.ndarray, " S"], Bool[np.ndarray, "C S"]]:
        """Return the features selected in x, and the assignment."""
        F, C = self.problem.relevance.shape
        selected = np.flatnonzero(x[:F] > 0.5)
        return selected, (x[F : self.n_binary].reshape(F, C)[selected] > 0.5).T

    def forbid_alike(
        self, selected: Int[np.ndarray, " S"], assignment: Bool[np.ndarray, "C S"]
    ) -> int:
        """Add a row for every group of equal classes, and return how many there were.

        Of the group S with the features T at most one class may keep all k of them:
        sum_{c in S, d in T} w_dc <= |S| (k - 1) + 1.
        """
        C, k = self.problem.relevance.shape[1], self.problem.per_class
        groups = alike(assignment)
        for group in groups:
            features = selected[assignment[group[0]]]
            cells = len(self.problem.relevance) + features[:, None] * C + group
            row = self._rows(cells.reshape(1, -1), np.ones(cells.size))
            self.rows = vstack([self.rows, row], format="csr")
            self.lower = np.append(self.lower, -np.inf)
            self.upper = np.append(self.upper, len(group) * (k - 1) + 1.0)
        return len(groups)


class Round(NamedTuple):
    """What a solver returns for one model: the best solution found and an upper bound."""

    x: Float[np.ndarray, " X"]
    bound: float


def penalised_pairs(problem: SelectionProblem) -> Int[np.ndarray, "E 2"]:
    """Return the pairs i < j with a penalty."""
    if problem.pair_penalty is None:
        return np.zeros((0, 2), dtype=np.int64)
    return np.argwhere(np.triu(problem.pair_penalty))


def model_size(problem: SelectionProblem) -> tuple[int, int]:
    """Return the numbers of variables and rows that the model has before the first round."""
    F, C = problem.relevance.shape
    n_pairs = len(penalised_pairs(problem))
    return F + F * C + n_pairs, 1 + C + F * C + n_pairs


def solve_in_rounds(
    name: str,
    problem: SelectionProblem,
    limits: Limits,
    run: Callable[[LinearModel, Candidate, float, float], Round],
) -> Selection:
    """Return the best selection of `run(model, start, gap, seconds)` called until none are alike.

    The open solver's search gives the first start; a round whose classes are alike still gives
    an answer, since its features are assigned anew with all classes different.
    """
    begin = time.perf_counter()
    search = Search(problem)
    best = first_answer(search, limits, begin + _SEARCH_SHARE * limits.time_limit)
    model = LinearModel(problem)
    bound = _unconstrained(search)
    while True:
        left = limits.time_limit - (time.perf_counter() - begin)
        if left <= 0:
            finished = False
            break
        found = run(model, best, limits.gap, left)
        bound = min(bound, found.bound)
        selected, assignment = model.decode(found.x)
        candidate = search.evaluate(selected)
        if candidate.objective > best.objective:
            best = candidate
        finished = relative_gap(best.objective, bound) <= max(limits.gap, _PRECISION)
        if finished:
            break
        if not model.forbid_alike(selected, assignment):
            break
    return Selection(
        selected=best.selected,
        assignment=best.assignment,
        objective=best.objective,
        bound=bound,
        status=Status.of(best.objective, bound, finished),
        solver=name,
        seconds=time.perf_counter() - begin,
    )


def _unconstrained(search: Search) -> float:
    """Return a bound for solvers that run out of time before they have one of their own.

    Every class takes its k best features and every selected feature the highest bias.
    """
    best = np.sort(search.V, axis=0)[-search.problem.per_class :].sum()
    return float(best + np.sort(search.b)[-search.problem.n_features :].sum())
