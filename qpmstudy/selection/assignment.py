"""The best assignment of classes to k of the selected features each, no two classes alike.

For given features the problem falls apart into one choice per class, the k most profitable
features, except where classes would be alike. Those classes are told apart exactly: among m of
them each needs at most its m best sets, and which class takes which set is an assignment problem.
"""

import heapq

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment


def top_sets(profit: Float[np.ndarray, "S C"], k: int) -> Bool[np.ndarray, "C S"]:
    """Return the k most profitable of S features for every class (ties: the lowest index)."""
    order = np.argsort(-profit, axis=0, kind="stable")[:k]
    chosen = np.zeros(profit.shape[::-1], dtype=bool)
    chosen[np.arange(profit.shape[1])[:, None], order.T] = True
    return chosen


def alike(assignment: Bool[np.ndarray, "C S"]) -> list[Int[np.ndarray, " G"]]:
    """Return the groups of two or more classes with equal rows."""
    groups: dict[bytes, list[int]] = {}
    for c, row in enumerate(np.packbits(assignment, axis=1)):
        groups.setdefault(row.tobytes(), []).append(c)
    return [np.array(group) for group in groups.values() if len(group) > 1]


def best_assignment(profit: Float[np.ndarray, "S C"], k: int) -> Bool[np.ndarray, "C S"]:
    """Return the most profitable assignment of k of S features per class, all rows different.

    Exact: the classes that clash are re-assigned among their best sets; whoever they push into
    joins them, until nobody clashes. Every round is a relaxation (clashes with classes outside
    are ignored), so the last one is optimal. Needs binomial(S, k) >= C.
    """
    chosen = top_sets(profit, k)
    best = chosen.copy()
    active: set[int] = set()
    while groups := alike(chosen):
        active |= {int(c) for group in groups for c in group}
        members = sorted(active)
        chosen = best.copy()
        chosen[members] = _distinct_sets(profit[:, members], k)
    return chosen


def best_sets(
    profit: Float[np.ndarray, " S"], k: int, count: int
) -> list[tuple[float, tuple[int, ...]]]:
    """Return up to `count` sets of k features by falling profit, as (profit, features)."""
    order = np.argsort(-profit, kind="stable")
    value = profit[order].tolist()
    n = len(value)
    first = tuple(range(k))
    heap = [(-sum(value[:k]), first, k - 1)]
    found: list[tuple[float, tuple[int, ...]]] = []
    while heap and len(found) < count:
        loss, at, last = heapq.heappop(heap)
        found.append((-loss, tuple(int(order[p]) for p in at)))
        # at[last + 1:] are final, at[:last] have not moved yet: every set is reached one way.
        for i in (last, last - 1):
            if i >= 0 and at[i] + 1 < (at[i + 1] if i + 1 < k else n):
                step = value[at[i]] - value[at[i] + 1]
                heapq.heappush(heap, (loss + step, (*at[:i], at[i] + 1, *at[i + 1 :]), i))
    return found


def _distinct_sets(profit: Float[np.ndarray, "S G"], k: int) -> Bool[np.ndarray, "G S"]:
    n, n_members = profit.shape
    column: dict[tuple[int, ...], int] = {}
    entries = []
    for member in range(n_members):
        for value, features in best_sets(profit[:, member], k, n_members):
            key = tuple(sorted(features))
            entries.append((member, column.setdefault(key, len(column)), value))
    worst = min(value for _, _, value in entries)
    best = max(value for _, _, value in entries)
    impossible = worst - (n_members + 1) * (best - worst + 1.0)
    value_of = np.full((n_members, len(column)), impossible)
    for member, j, value in entries:
        value_of[member, j] = value
    rows, columns = linear_sum_assignment(value_of, maximize=True)
    keys = list(column)
    chosen = np.zeros((n_members, n), dtype=bool)
    for member, j in zip(rows, columns, strict=True):
        chosen[member, list(keys[j])] = True
    return chosen
