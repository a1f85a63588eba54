"""Inequalities that tighten the relaxation of the selection problem, and how they are found.

Every integer solution satisfies them; fractional s and w often do not.

- Clique cut (K, m): the features K are penalised pairwise. With t of them selected, t (t - 1) / 2
  of the products y_ij = s_i s_j are 1, which is at least m t - m (m + 1) / 2 for every integer m:
      sum_{i<j in K} y_ij >= m sum_{i in K} s_i - m (m + 1) / 2.
  Two features with m = 1 give the usual y_ij >= s_i + s_j - 1.
- Difference cut (T, S): at most one of the classes S may have exactly the k features T:
      sum_{c in S} sum_{d in T} w_dc <= |S| (k - 1) + 1.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_VIOLATION = 0.02
"""Cuts violated by less than this are not worth their multiplier."""
_MOST_CUTS = 1000
"""Cuts added at once, the most violated first."""


class CliqueCut(NamedTuple):
    """The features K, ascending, and m."""

    members: tuple[int, ...]
    m: int


class DifferenceCut(NamedTuple):
    """The k features T and the classes S, both ascending."""

    features: tuple[int, ...]
    classes: tuple[int, ...]


def clique_cuts(
    s: Float[np.ndarray, " U"], y: Float[np.ndarray, "U U"], conflict: Bool[np.ndarray, "U U"]
) -> list[CliqueCut]:
    """Return cliques of `conflict` whose cut s and y (symmetric) violate, worst first.

    From every feature a clique is grown by the feature that adds most to the violation.
    """
    core = np.flatnonzero(s > _VIOLATION)
    s, y, conflict = s[core], y[np.ix_(core, core)], conflict[np.ix_(core, core)]
    found: dict[CliqueCut, float] = {}
    pairs = np.triu(np.where(conflict, s[:, None] + s - 1.0 - y, 0.0), 1)
    for i, j in np.argwhere(pairs > _VIOLATION):
        found[CliqueCut((int(core[i]), int(core[j])), 1)] = float(pairs[i, j])
    for first in range(len(core)):
        for clique, m, violation in _grown(first, s, y, conflict):
            members = tuple(int(d) for d in core[sorted(clique)])
            found[CliqueCut(members, m)] = violation
    return sorted(found, key=lambda cut: (-found[cut], cut))[:_MOST_CUTS]


def _grown(
    first: int,
    s: Float[np.ndarray, " U"],
    y: Float[np.ndarray, "U U"],
    conflict: Bool[np.ndarray, "U U"],
) -> list[tuple[list[int], int, float]]:
    clique, total, products = [first], float(s[first]), 0.0
    candidates = conflict[first].copy()
    to_clique = y[first].copy()
    found = []
    while candidates.any():
        score = np.where(candidates, s * max(1, round(total)) - to_clique, -1.0)
        j = int(np.argmax(score))
        if score[j] <= _VIOLATION / 10:
            break
        clique.append(j)
        total += float(s[j])
        products += float(to_clique[j])
        to_clique += y[j]
        candidates &= conflict[j]
        m = int(total)  # the best m for this total
        violation = m * total - m * (m + 1) / 2 - products
        if len(clique) > 2 and m >= 1 and violation > _VIOLATION:
            found.append((list(clique), m, violation))
    return found


def difference_cuts(w: Float[np.ndarray, "C U"], k: int) -> list[DifferenceCut]:
    """Return violated difference cuts; T is tried as the k largest entries of every class."""
    largest = np.argsort(-w, axis=1, kind="stable")[:, :k]
    indicator = np.zeros(w.shape)
    np.put_along_axis(indicator, largest, 1.0, axis=1)
    excess = indicator @ w.T - (k - 1)  # (T, class)
    violation = np.maximum(excess, 0.0).sum(axis=1) - 1.0
    found: dict[DifferenceCut, float] = {}
    for c in np.flatnonzero(violation > _VIOLATION):
        features = tuple(sorted(largest[c].tolist()))
        classes = tuple(np.flatnonzero(excess[c] > 0).tolist())
        found[DifferenceCut(features, classes)] = float(violation[c])
    return sorted(found, key=lambda cut: (-found[cut], cut))[:_MOST_CUTS]


def restrict_clique(
    cut: CliqueCut, position: Int[np.ndarray, " F"], n_inside: int
) -> CliqueCut | None:
    """Return the cut on the features that stay free, or None when nothing is left of it.

    position[d] is the new index of feature d, -1 when it is left out, below `n_inside` when it
    is fixed to 1. A fixed member leaves the clique and lowers m by one, since its products are
    now single features; an excluded one just leaves.
    """
    at = [int(position[d]) for d in cut.members]
    free = tuple(sorted(d for d in at if d >= n_inside))
    m = cut.m - sum(0 <= d < n_inside for d in at)
    return CliqueCut(free, m) if 1 <= m < len(free) else None
