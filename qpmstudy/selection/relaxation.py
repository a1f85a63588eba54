"""Upper bounds of the selection problem: a Lagrangian relaxation whose inner problem is closed.

Relaxed with multipliers: k features a class (lambda_c, free), the clique cuts that tie the
products y to s (x >= 0), and the difference cuts (u >= 0). What is left falls apart:

    L = k sum_c lambda_c + sum_q m_q (m_q + 1) / 2 x_q + sum_t (|S_t| (k - 1) + 1) u_t
        + sum_e (load_e - P_e)^+ + (sum of the n largest r_d),
    load_e = sum of x_q over the cliques q that contain the pair e,
    r_d = b_d + sum_c (V_dc - sum_{t: d in T_t, c in S_t} u_t - lambda_c)^+
              - sum_{q: d in q} m_q x_q.

Every choice of multipliers gives an upper bound; the best one equals the linear programme with
these cuts. L is minimised by L-BFGS on a smoothed form: (v)^+ becomes max over 0 <= p <= 1 of
p v - tau p^2 / 2, whose maximisers are a primal solution s, w, y that cuts are found on; tau
shrinks until smoothing no longer matters. The n-largest sum is smoothed by its own multiplier nu.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize

from qpmstudy.selection.cuts import (
    CliqueCut,
    DifferenceCut,
    clique_cuts,
    difference_cuts,
    restrict_clique,
)
from qpmstudy.selection.incidence import Incidence
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.search import Candidate, Search

_UNUSED = 1e-7
"""Cuts whose multiplier is below this are dropped when a relaxation is built anew."""
_MARGIN = 25.0
"""Entries of V this many times tau_w below lambda are left out of the smoothed problem."""
_MEMORY = 20
"""Steps that L-BFGS remembers."""


@dataclass(frozen=True)
class Multipliers:
    """Where a minimisation stands, in the features of the whole problem."""

    lam: Float[np.ndarray, " C"]
    nu: float
    cliques: dict[CliqueCut, float] = field(default_factory=dict)
    differences: dict[DifferenceCut, float] = field(default_factory=dict)

    @classmethod
    def at(cls, search: Search, best: Candidate) -> "Multipliers":
        """Return those that a good selection suggests: what the last feature of each class earns.

        nu is what the last of the features that earn most then earns.
        """
        n, k = search.problem.n_features, search.problem.per_class
        lam = np.sort(search.V[best.selected], axis=0)[n - k]
        gain = np.maximum(search.V - lam, 0.0).sum(axis=1) + search.b
        return cls(lam, float(np.sort(gain)[-n]))


class Relaxation:
    """The relaxation of a problem with some features fixed to 1 (`inside`) and others left out.

    D columns: the inside features first, then the free ones, of which `n` are to be selected.
    Products with inside features are linear and part of b. Z multipliers: lam, nu, x, u.
    """

    def __init__(
        self,
        problem: SelectionProblem,
        inside: Int[np.ndarray, " I"],
        free: Int[np.ndarray, " U"],
        start: Multipliers,
    ) -> None:
        self.columns = np.concatenate([inside, free])
        self.n_inside = len(inside)
        self.n = problem.n_features - len(inside)
        self.k = problem.per_class
        self.V = np.ascontiguousarray(problem.profit[self.columns].T)
        self.b = np.zeros(len(self.columns)) if problem.bias is None else problem.bias[self.columns]
        self.P = np.zeros((len(self.columns),) * 2)
        if problem.pair_penalty is not None:
            self.P = problem.pair_penalty[np.ix_(self.columns, self.columns)]
            with_inside = self.P[:, : self.n_inside].sum(axis=1)
            with_inside[: self.n_inside] /= 2
            self.b = self.b - with_inside
        self.tau_s = 1.0
        self.tau_w = 1.0
        self._load(len(problem.relevance), start)

    def _load(self, n_given: int, start: Multipliers) -> None:
        position = np.full(n_given, -1)
        position[self.columns] = np.arange(len(self.columns))
        cliques: dict[CliqueCut, float] = {}
        for clique, x in start.cliques.items():
            local = restrict_clique(clique, position, self.n_inside) if x > _UNUSED else None
            if local is not None:
                cliques[local] = cliques.get(local, 0.0) + x
        differences: dict[DifferenceCut, float] = {}
        for cut, u in start.differences.items():
            at = tuple(int(position[d]) for d in cut.features)
            if u > _UNUSED and min(at) >= 0:
                differences[DifferenceCut(at, cut.classes)] = u
        self.cliques, self.differences = list(cliques), list(differences)
        x_u = [*cliques.values(), *differences.values()]
        self.z = np.concatenate([start.lam, [start.nu], x_u])
        self._index()

    def _index(self) -> None:
        self._cuts = Incidence(self.cliques, self.differences, len(self.columns), self.k)
        self._P_pair = self.P[self._cuts.ends]

    def multipliers(self) -> Multipliers:
        """Return the present multipliers, for a relaxation of the same problem to start from."""
        lam, nu, x, u = self._split(self.z)
        cliques: dict[CliqueCut, float] = {}
        for (members, m), value in zip(self.cliques, x.tolist(), strict=True):
            cliques[CliqueCut(tuple(self.columns[list(members)].tolist()), m)] = value
        differences: dict[DifferenceCut, float] = {}
        for (features, classes), value in zip(self.differences, u.tolist(), strict=True):
            at = tuple(self.columns[list(features)].tolist())
            differences[DifferenceCut(at, classes)] = value
        return Multipliers(lam.copy(), nu, cliques, differences)

    def _split(
        self, z: Float[np.ndarray, " Z"]
    ) -> tuple[Float[np.ndarray, " C"], float, Float[np.ndarray, " Q"], Float[np.ndarray, " T"]]:
        n_classes = len(self.V)
        first = n_classes + 1
        second = first + len(self.cliques)
        return z[:n_classes], float(z[n_classes]), z[first:second], z[second:]

    def bound(self) -> tuple[float, Float[np.ndarray, " D"]]:
        """Return L and r at the present multipliers."""
        lam, _, x, u = self._split(self.z)
        slack = self.V - lam[:, None]
        slack.ravel()[self._cuts.cells] -= self._cuts.cell @ u
        r = self.b + np.maximum(slack, 0.0, out=slack).sum(axis=0) - self._cuts.member @ x
        free = np.sort(r[self.n_inside :])
        L = self.k * lam.sum() + self._cuts.rhs @ self.z[len(lam) + 1 :]
        L += np.maximum(self._cuts.pair @ x - self._P_pair, 0.0).sum()
        return float(L + r[: self.n_inside].sum() + free[len(free) - self.n :].sum()), r

    def smoothed(self, z: Float[np.ndarray, " Z"]) -> tuple[float, Float[np.ndarray, " Z"]]:
        """Return the smoothed L and its gradient at z; keep the primal maximisers s, p, y.

        Only the cells of V count that `minimise` expects to exceed lambda.
        """
        lam, nu, x, u = self._split(z)
        n_columns = len(self.b)
        slack = self._V_near - lam[self._class]
        slack[self._cut_at] -= self._cuts.cell @ u
        p = np.clip(slack / self.tau_w, 0.0, 1.0)
        gain = p * (slack - 0.5 * self.tau_w * p)
        r = self.b + np.bincount(self._column, gain, n_columns) - self._cuts.member @ x
        s = np.clip((r - nu) / self.tau_s, 0.0, 1.0)
        s[: self.n_inside] = 1.0
        free, r_free = s[self.n_inside :], r[self.n_inside :]
        excess = self._cuts.pair @ x - self._P_pair
        y = np.clip(excess / self.tau_s, 0.0, 1.0)

        value = self.k * lam.sum() + self.n * nu + self._cuts.rhs @ z[len(lam) + 1 :]
        value += r[: self.n_inside].sum() + free @ (r_free - nu - self.tau_s / 2 * free)
        value += y @ (excess - self.tau_s / 2 * y)
        w = p * s[self._column]
        for_cliques = self._cuts.pair_t @ y - self._cuts.member_t @ s
        for_differences = -(self._cuts.cell_t @ w[self._cut_at])
        gradient = np.concatenate(
            [
                self.k - np.bincount(self._class, w, len(lam)),
                [self.n - free.sum()],
                self._cuts.rhs + np.concatenate([for_cliques, for_differences]),
            ]
        )
        self._s: Float[np.ndarray, " D"] = s
        self._w: Float[np.ndarray, " M"] = w
        self._y: Float[np.ndarray, " E"] = y
        return float(value), gradient

    def minimise(self, tau_s: float, tau_w: float, steps: int) -> float:
        """Move the multipliers towards the smoothed minimum; return the smoothed L there."""
        self.tau_s, self.tau_w = tau_s, tau_w
        n_classes = len(self.V)
        near = (self.z[:n_classes] - _MARGIN * tau_w)[:, None] < self.V
        near.ravel()[self._cuts.cells] = True
        at = np.flatnonzero(near)
        self._V_near = self.V.ravel()[at]
        self._class, self._column = np.divmod(at, len(self.b))
        self._cut_at = np.searchsorted(at, self._cuts.cells)
        bounds = [(None, None)] * (n_classes + 1) + [(0, None)] * (len(self.z) - n_classes - 1)
        options = {"maxiter": steps, "maxcor": _MEMORY, "ftol": 1e-9, "gtol": 1e-4}
        found = minimize(
            self.smoothed, self.z, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        self.z = found.x
        return self.smoothed(self.z)[0]

    def undecided(self) -> Float[np.ndarray, " U"]:
        """Return for the free features how far s is from 0 and 1 times what the feature earns."""
        earned = np.maximum(self.V - self.z[: len(self.V), None], 0.0).sum(axis=0)
        fractional: Float[np.ndarray, " D"] = np.minimum(self._s, 1.0 - self._s) * earned
        return fractional[self.n_inside :]

    def add_cuts(self) -> int:
        """Swap idle cuts for those that the last primal solution violates; return how many."""
        y = np.zeros(self.P.shape)
        y[self._cuts.ends] = self._y
        y += y.T
        selectable = self._s.copy()
        selectable[: self.n_inside] = 0.0
        w = np.zeros(self.V.shape)
        w[self._class, self._column] = self._w
        lam, nu, x, u = self._split(self.z)
        cliques = dict(zip(self.cliques, x.tolist(), strict=True))
        differences = dict(zip(self.differences, u.tolist(), strict=True))
        cliques = {cut: value for cut, value in cliques.items() if value > _UNUSED}
        differences = {cut: value for cut, value in differences.items() if value > _UNUSED}
        n_kept = len(cliques) + len(differences)
        for clique in clique_cuts(selectable, y, self.P > 0):
            cliques.setdefault(clique, 0.0)
        for difference in difference_cuts(w, self.k):
            differences.setdefault(difference, 0.0)
        self.cliques, self.differences = list(cliques), list(differences)
        self.z = np.concatenate([lam, [nu], list(cliques.values()), list(differences.values())])
        self._index()
        return len(cliques) + len(differences) - n_kept
