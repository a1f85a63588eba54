"""Small problems with known answers, shared by the tests of the selection solvers."""

import itertools
from pathlib import Path

import numpy as np

from qpmstudy.selection import SelectionProblem
from qpmstudy.selection.assignment import alike

PARITY = Path(__file__).resolve().parents[2] / "parity"
GOLDEN = sorted(path.stem for path in PARITY.glob("10_qp_*.npz"))


def golden(name: str) -> tuple[SelectionProblem, dict[str, np.ndarray]]:
    """Return an instance of the reference and its arrays."""
    arrays = dict(np.load(PARITY / f"{name}.npz"))
    n_given = len(arrays["in_A"])
    penalty = np.zeros((n_given, n_given))
    i, j = arrays["own_pairs"].T
    penalty[i, j] = arrays["own_pair_penalty"]
    problem = SelectionProblem(
        arrays["in_A"],
        penalty,
        arrays.get("in_b"),
        int(arrays["in_n_select"]),
        int(arrays["in_n_per_class"]),
    )
    return problem, arrays


def random_problem(seed: int) -> SelectionProblem:
    """Return a tiny problem: ties, alike classes, penalties and bias come and go with the seed."""
    rng = np.random.default_rng(seed)
    n_given, n_classes = int(rng.integers(3, 8)), int(rng.integers(2, 5))
    n_features = int(rng.integers(2, n_given + 1))
    per_class = int(rng.integers(1, n_features))
    A = rng.normal(size=(n_given, n_classes))
    if rng.random() < 0.4:
        A = np.round(A)
    if rng.random() < 0.5:
        A[:, -1] = A[:, 0] + 0.01 * rng.normal(size=n_given) * (rng.random() < 0.5)
    penalty = None
    if rng.random() < 0.8:
        scale = rng.choice([1.0, 30.0, 300.0])
        penalty = np.triu(rng.random((n_given, n_given)), 1) * (
            rng.random((n_given, n_given)) < rng.random()
        )
        penalty = scale * penalty
        penalty = penalty + penalty.T
    bias = 20.0 * rng.normal(size=n_given) if rng.random() < 0.5 else None
    while n_classes > len(list(itertools.combinations(range(n_features), per_class))):
        n_classes -= 1
    return SelectionProblem(A[:, :n_classes], penalty, bias, n_features, per_class)


def dense_problem(n_given=40, n_classes=12, n_features=12, per_class=3):
    """Return a problem without structure, whose bounds are loose."""
    rng = np.random.default_rng(5)
    A = rng.random((n_given, n_classes)) ** 3
    penalty = np.triu(rng.random((n_given, n_given)) * (rng.random((n_given, n_given)) < 0.2), 1)
    return SelectionProblem(A, penalty, None, n_features, per_class)


def hard_problem() -> SelectionProblem:
    """Return a problem that Gurobi's size-limited license covers and no solver solves in 20 s."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(70, 8))
    penalty = 40 * np.triu(rng.random((70, 70)) * (rng.random((70, 70)) < 0.4), 1)
    return SelectionProblem(A, penalty + penalty.T, None, 25, 4)


def brute_force(problem: SelectionProblem) -> float:
    """Return the optimum, from every selection and every assignment of different sets."""
    best = -np.inf
    n_given, n_classes = problem.relevance.shape
    for selected in itertools.combinations(range(n_given), problem.n_features):
        best = max(best, _best_of(problem, np.array(selected), n_classes))
    return best


def _best_of(problem: SelectionProblem, selected: np.ndarray, n_classes: int) -> float:
    sets = list(itertools.combinations(range(len(selected)), problem.per_class))
    row = np.zeros((len(sets), len(selected)), dtype=bool)
    for at, chosen in enumerate(sets):
        row[at, list(chosen)] = True
    gain = row @ problem.profit[selected]  # (sets, classes)

    def assign(c: int, used: frozenset[int]) -> float:
        if c == n_classes:
            return 0.0
        return max(
            gain[at, c] + assign(c + 1, used | {at}) for at in range(len(sets)) if at not in used
        )

    cheapest = row[:n_classes]
    assert not alike(cheapest)
    fixed = problem.objective(selected, cheapest) - sum(gain[c, c] for c in range(n_classes))
    return fixed + assign(0, frozenset())
