"""The threshold of the pair penalties: a set of features that are as unlike as possible.

"n features without a pair of similarity t or more" is an independent set of size n in the graph
of such pairs, so the smallest such t is a max-min dispersion problem: NP-hard, searched here by
bisection over t with a deterministic tabu search at every step.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

_STEPS = 4
"""Tabu moves tried per feature before a threshold is given up."""


def spread_threshold(R: Float[np.ndarray, "F F"], n_features: int) -> float:
    """Return the smallest positive entry of R above all pairs of some `n_features` features.

    So these features have no pair that reaches it. Features without any similarity (dead ones)
    are not used as long as there are enough others, since they would be free of conflicts at
    every threshold. Infinite when every set of this size contains the most similar pair.
    """
    live = np.flatnonzero(R.any(axis=1))
    R = R[np.ix_(live, live)]
    n_features = min(n_features, len(live))
    pairs = R[np.triu_indices(len(R), 1)]
    levels = np.unique(pairs[pairs > 0])  # E = {R >= levels[i]}
    low, high = 0, len(levels)  # at `high` a set is known, below `low` none was found
    start = np.zeros(0, dtype=np.int64)
    while low < high:
        middle = (low + high) // 2
        found = independent_set(levels[middle] <= R, n_features, start)
        if found is None:
            low = middle + 1
        else:
            start = found
            inside = R[np.ix_(found, found)][np.triu_indices(n_features, 1)]
            largest = inside.max(initial=0.0)
            high = min(middle, int(np.searchsorted(levels, largest, side="right")))
    return float(levels[high]) if high < len(levels) else math.inf


def independent_set(
    conflict: Bool[np.ndarray, "F F"], size: int, start: Int[np.ndarray, " S"]
) -> Int[np.ndarray, " size"] | None:
    """Return `size` nodes without a conflict between any two, or None when none was found.

    Starts from `start` or, where that is empty, from the greedy set of smallest degrees; then
    swaps the most conflicting chosen node for the least conflicting other one, with a tabu
    list that grows with the conflicts left.
    """
    graph = conflict.copy()
    np.fill_diagonal(graph, False)
    for first in (start, _greedy(graph, size)):
        if len(first) == size:
            found = _tabu(graph, first)
            if found is not None:
                return found
    return None


def _greedy(graph: Bool[np.ndarray, "F F"], size: int) -> Int[np.ndarray, " size"]:
    degree = graph.sum(axis=1).astype(np.float64)
    clashes = np.zeros(len(graph))
    chosen = []
    for _ in range(size):
        # fewest conflicts with the chosen ones first, then the fewest conflicts overall
        node = int(np.argmin(clashes * len(graph) + degree))
        chosen.append(node)
        clashes[node] = np.inf
        clashes += graph[node]
    return np.array(chosen, dtype=np.int64)


def _tabu(
    graph: Bool[np.ndarray, "F F"], first: Int[np.ndarray, " size"]
) -> Int[np.ndarray, " size"] | None:
    # Two passes over all nodes a step, the rest over the few that are chosen or tabu.
    n_nodes = len(graph)
    weight = graph.astype(np.int32)
    chosen = np.sort(first)
    clashes = weight[chosen].sum(axis=0, dtype=np.int32)
    without, gain = np.empty_like(clashes), np.empty_like(clashes)
    tabu_until = np.zeros(n_nodes, dtype=np.int64)
    tabu: list[int] = []  # not chosen
    never = n_nodes + 1
    for step in range(_STEPS * n_nodes):
        mine = clashes[chosen]
        left = int(mine.sum()) // 2
        if left == 0:
            return chosen
        if len(chosen) == n_nodes:
            return None
        free = tabu_until[chosen] <= step
        place = int(np.where(free, mine, -1).argmax() if free.any() else mine.argmax())
        out = int(chosen[place])
        np.subtract(clashes, weight[out], out=without)
        np.copyto(gain, without)
        gain[chosen] = never
        tabu = [node for node in tabu if tabu_until[node] > step]
        if len(tabu) < n_nodes - len(chosen):
            gain[tabu] = never
        enter = int(gain.argmin())
        np.add(without, weight[enter], out=clashes)
        chosen[place] = enter
        chosen.sort()
        tabu = [node for node in tabu if node != enter] + [out]
        tabu_until[out] = step + 7 + left
        tabu_until[enter] = step + 3
    return None
