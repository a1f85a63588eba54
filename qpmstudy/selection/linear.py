"""The selection problem as a mixed-integer linear programme, for the solvers that take one.

Variables: s_d (binary), w_dc (binary), y_e in [0, 1] for the pairs e = (i, j) with a penalty.
Rows: sum s = N*;  sum_d w_dc = k;  w_dc <= s_d;  s_i + s_j - y_ij <= 1.  That no two classes are
alike is left out at first: every model is a relaxation of the problem, so its bound holds, and
rows that tell classes apart are added where they are missed.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.sparse import csr_matrix, vstack

from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.relaxation import Multipliers
from qpmstudy.selection.search import Candidate

_IDLE = 1e-7
"""Cuts whose multiplier is below this do not hold the relaxation's bound down."""


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
        self._apart: list[tuple[int, int]] = []
        features, self._w = np.arange(F), F + np.arange(F * C).reshape(F, C)
        y = self.n_binary + np.arange(n_pairs)
        blocks = [
            self._rows(features[None, :], np.ones(F)),
            self._rows(self._w.T, np.ones(F)),
            self._rows(np.stack([self._w.ravel(), features.repeat(C)], axis=1), _UP_TO),
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

    def _add(self, blocks: list[csr_matrix], upper: Float[np.ndarray, " Z"]) -> None:
        n_columns = len(self.profit)
        for block in (self.rows, *blocks):
            block.resize(block.shape[0], n_columns)
        self.rows = vstack([self.rows, *blocks], format="csr")
        self.lower = np.append(self.lower, np.full(len(upper), -np.inf))
        self.upper = np.append(self.upper, upper)

    def encode(self, candidate: Candidate) -> Float64[np.ndarray, " X"]:
        """Return the values of all variables in a solution."""
        s, w = np.zeros(len(self._w)), np.zeros(self._w.shape)
        s[candidate.selected] = 1.0
        w[candidate.selected] = candidate.assignment.T
        y = s[self.pairs[:, 0]] * s[self.pairs[:, 1]]
        alone = [np.maximum(w[:, first] - w[:, second], 0.0) for first, second in self._apart]
        return np.concatenate([s, w.ravel(), y, *alone])

    def decode(
        self, x: Float[np.ndarray, " X"]
    ) -> tuple[Int[np.ndarray, " S"], Bool[np.ndarray, "C S"]]:
        """Return the features selected in x, and the assignment."""
        F, C = self._w.shape
        selected = np.flatnonzero(x[:F] > 0.5)
        return selected, (x[F : self.n_binary].reshape(F, C)[selected] > 0.5).T

    def add_cuts(self, found: Multipliers, most: int) -> None:
        """Add the cuts (see `cuts`) that hold the relaxation's bound down, at most `most`."""
        y = {(int(i), int(j)): self.n_binary + e for e, (i, j) in enumerate(self.pairs)}
        rows: list[tuple[float, list[int], list[float], float]] = []
        for (members, m), x in found.cliques.items():
            products = [y[i, j] for at, i in enumerate(members) for j in members[at + 1 :]]
            values = [float(m)] * len(members) + [-1.0] * len(products)
            if len(members) > 2:  # pairs are rows from the start
                rows.append((x, [*members, *products], values, m * (m + 1) / 2))
        for (features, classes), u in found.differences.items():
            cells, most_cells = self.forbidden(np.array(features), np.array(classes))
            rows.append((u, cells.tolist(), [1.0] * len(cells), most_cells))
        rows = sorted((row for row in rows if row[0] > _IDLE), key=lambda row: -row[0])[:most]
        blocks = [
            self._rows(np.array([columns]), np.array(values)) for _, columns, values, _ in rows
        ]
        self._add(blocks, np.array([upper for *_, upper in rows]))

    def forbidden(
        self, features: Int[np.ndarray, " K"], classes: Int[np.ndarray, " G"]
    ) -> tuple[Int[np.ndarray, " T"], float]:
        """Return the cells w and their largest sum if one of the classes has these k features."""
        k = self.problem.per_class
        return self._w[np.ix_(features, classes)].ravel(), len(classes) * (k - 1) + 1.0

    def tell_apart(self, group: Int[np.ndarray, " G"]) -> None:
        """Make neighbours in a group of classes differ.

        Classes a and b: z_d in [0, 1], z_d <= w_da, z_d <= 1 - w_db, sum_d z_d >= 1, so some
        feature of a is not b's. A cut for each set of features that both might share takes as
        many rounds as there are such sets: 11 for 10_qp_05 instead of 2, 1.3 s instead of 0.2.
        """
        F = len(self._w)
        for first, second in pairwise(group.tolist()):
            z = len(self.profit) + np.arange(F)
            self._apart.append((first, second))
            self.profit = np.append(self.profit, np.zeros(F))
            blocks = [
                self._rows(np.column_stack([z, self._w[:, first]]), _UP_TO),
                self._rows(np.column_stack([z, self._w[:, second]]), np.ones(2)),
                self._rows(z[None, :], -np.ones(F)),
            ]
            self._add(blocks, np.repeat([0.0, 1.0, -1.0], [F, F, 1]))


_UP_TO = np.array([1.0, -1.0])
"""x - y, which is at most 0 where x is up to y."""


def penalised_pairs(problem: SelectionProblem) -> Int[np.ndarray, "E 2"]:
    """Return the pairs i < j with a penalty."""
    if problem.pair_penalty is None:
        return np.zeros((0, 2), dtype=np.int64)
    return np.argwhere(np.triu(problem.pair_penalty))


def model_size(problem: SelectionProblem) -> tuple[int, int]:
    """Return the numbers of variables and rows that the model has before cuts are added."""
    F, C = problem.relevance.shape
    n_pairs = len(penalised_pairs(problem))
    return F + F * C + n_pairs, 1 + C + F * C + n_pairs
