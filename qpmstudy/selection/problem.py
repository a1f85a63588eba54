"""The quadratic selection problem of QPM.

Symbols: N_f features given, C classes, N* features to select (`n_features`), k features a class
(`per_class`), A relevance (N_f, C), R pair penalties (N_f, N_f), b bias (N_f,), s selected
features, w assignment of selected features to classes.

    maximise    1000 / (k C) * sum_dc A[d,c] w[d,c] - sum_{i<j} R[i,j] s_i s_j + sum_d b_d s_d
    subject to  sum_d s_d = N*;  w[d,c] <= s_d;  sum_d w[d,c] = k for every class c;
                no two classes with the same features;  s and w binary.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from qpmstudy.errors import ConfigError, SolverError
from qpmstudy.selection.constants import pair_penalties, relevance, similarity

OBJECTIVE_SCALE = 1000.0
"""The mean relevance of an assigned feature counts this much in the objective."""


@dataclass(frozen=True)
class SelectionProblem:
    """One instance of the selection problem; see the module's docstring for the formula.

    `pair_penalty` is given symmetric or upper triangular, non-negative, with a zero diagonal,
    and is kept symmetric; every unordered pair counts once. Arrays are kept as float64 copies
    that cannot be written to.

    Raises:
        ConfigError: a shape, size or entry is not what it must be.
        SolverError: no selection can satisfy the sizes asked for.
    """

    relevance: Shaped[np.ndarray, "..."]
    """A (N_f, C)."""
    pair_penalty: Shaped[np.ndarray, "..."] | None
    """R (N_f, N_f), in units of the objective."""
    bias: Shaped[np.ndarray, "..."] | None
    """b (N_f,), in units of the objective."""
    n_features: int
    """N*."""
    per_class: int
    """k."""

    def __post_init__(self) -> None:
        relevance = _as_matrix("relevance", self.relevance)
        n_given, _ = relevance.shape
        object.__setattr__(self, "relevance", relevance)
        if self.pair_penalty is not None:
            object.__setattr__(self, "pair_penalty", _symmetric(self.pair_penalty, n_given))
        if self.bias is not None:
            bias = _frozen("bias", self.bias)
            if bias.shape != (n_given,):
                raise ConfigError(
                    f"bias has shape {bias.shape}, but there are {n_given} features: "
                    f"give one value a feature, or None."
                )
            object.__setattr__(self, "bias", bias)
        self._check_sizes()

    def _check_sizes(self) -> None:
        n_given, n_classes = self.relevance.shape
        for name, value in (("n_features", self.n_features), ("per_class", self.per_class)):
            if value < 1:
                raise ConfigError(f"{name} is {value}, but must be at least 1.")
        if self.n_features > n_given:
            raise SolverError(
                f"{self.n_features} features cannot be selected out of {n_given}: "
                f"lower n_features or train with more features."
            )
        if self.per_class > self.n_features:
            raise SolverError(
                f"A class cannot have {self.per_class} of only {self.n_features} selected "
                f"features: lower per_class or raise n_features."
            )
        n_subsets = math.comb(self.n_features, self.per_class)
        if n_subsets < n_classes:
            raise SolverError(
                f"{self.per_class} of {self.n_features} features form {n_subsets} different "
                f"sets, too few to tell {n_classes} classes apart: raise n_features or "
                f"change per_class."
            )

    @classmethod
    def from_features(
        cls,
        features: Shaped[np.ndarray, "N F"],
        labels: Int[np.ndarray, " N"],
        n_features: int,
        per_class: int,
        bias: Shaped[np.ndarray, "..."] | None = None,
        variant: str = "correct",
    ) -> "SelectionProblem":
        """Return the problem of a feature matrix (images x features) and its labels 0..C-1.

        A, R and the penalised pairs are those of `constants`; `bias` is passed on. A dead feature
        has no relevance and no penalty, so it can only fill up a selection.
        """
        A = relevance(features, labels).normalised
        penalty = pair_penalties(similarity(A), n_features, variant)
        return cls(A, penalty, bias, n_features, per_class)

    @property
    def scale(self) -> float:
        """Weight of one assigned entry of A in the objective, 1000 / (k C)."""
        return OBJECTIVE_SCALE / (self.per_class * int(self.relevance.shape[1]))

    @property
    def profit(self) -> Float64[np.ndarray, "F C"]:
        """A in units of the objective: 1000 / (k C) * A."""
        return self.scale * self.relevance

    def objective(
        self, selected: Int[np.ndarray, " S"], assignment: Bool[np.ndarray, "C S"]
    ) -> float:
        """Return the objective of a solution; column j of `assignment` is feature selected[j]."""
        value = self.scale * float((self.relevance[selected].T * assignment).sum())
        if self.pair_penalty is not None:
            value -= 0.5 * float(self.pair_penalty[np.ix_(selected, selected)].sum())
        if self.bias is not None:
            value += float(self.bias[selected].sum())
        return value

    def violations(
        self, selected: Shaped[np.ndarray, "..."], assignment: Shaped[np.ndarray, "..."]
    ) -> list[str]:
        """Return every rule that a solution breaks, each as a sentence; empty when feasible."""
        n_given, n_classes = self.relevance.shape
        if selected.ndim != 1 or not np.issubdtype(selected.dtype, np.integer):
            return [f"selected is no list of indices: {selected.dtype} {selected.shape}"]
        if assignment.dtype != np.bool_ or assignment.shape != (n_classes, len(selected)):
            return [
                f"assignment is {assignment.dtype} {assignment.shape}, "
                f"not bool {(n_classes, len(selected))}"
            ]
        found = []
        if len(selected) != self.n_features:
            found.append(f"{len(selected)} features are selected, not {self.n_features}")
        if len(selected) and not (selected.min() >= 0 and selected.max() < n_given):
            found.append(f"selected features lie outside 0..{n_given - 1}")
        if not (np.diff(selected) > 0).all():
            found.append("selected features are not sorted, or one is selected twice")
        counts = assignment.sum(axis=1)
        found += [
            f"class {c} has {counts[c]} features, not {self.per_class}"
            for c in np.flatnonzero(counts != self.per_class)
        ]
        seen: dict[bytes, int] = {}
        for c, row in enumerate(assignment):
            other = seen.setdefault(row.tobytes(), c)
            if other != c:
                found.append(f"classes {other} and {c} have the same features")
        return found


def _frozen(name: str, values: Shaped[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    array = np.array(values, dtype=np.float64)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ConfigError(
            f"{name} has {bad} entries that are not finite: check the features it was made from."
        )
    array.flags.writeable = False
    return array


def _as_matrix(name: str, values: Shaped[np.ndarray, "..."]) -> Float64[np.ndarray, "F C"]:
    matrix = _frozen(name, values)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ConfigError(
            f"{name} has shape {matrix.shape}, but must be features x classes, both at least 1."
        )
    return matrix


def _symmetric(values: Shaped[np.ndarray, "..."], n_given: int) -> Float64[np.ndarray, "F F"]:
    matrix = _frozen("pair_penalty", values)
    if matrix.shape != (n_given, n_given):
        raise ConfigError(
            f"pair_penalty has shape {matrix.shape}, but there are {n_given} features: "
            f"give a square matrix over them, or None."
        )
    if np.diagonal(matrix).any():
        raise ConfigError(
            "pair_penalty has a non-zero diagonal, but a feature forms no pair with itself: "
            "set it to zero (a price for one feature belongs into bias)."
        )
    if (matrix < 0).any():
        raise ConfigError(
            f"pair_penalty has the negative entry {matrix.min():g}: penalties must be >= 0."
        )
    if not np.tril(matrix).any():
        matrix = matrix + matrix.T
        matrix.flags.writeable = False
    elif not np.array_equal(matrix, matrix.T):
        raise ConfigError(
            "pair_penalty is neither symmetric nor upper triangular: it is not clear whether "
            "a pair counts once or twice."
        )
    return matrix
