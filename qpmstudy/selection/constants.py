"""What the selection problem is built from: relevance A, similarity R and the pair penalties.

QPM defines them (Norrenbrock et al., "QPM: Discrete Optimization for Globally Interpretable
Image Classification"), DINO-QPM takes them over. F: features, C: classes, N: images.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped

from qpmstudy.errors import ConfigError, DataError
from qpmstudy.selection.spread import spread_threshold
from qpmstudy.selection.training_data import class_counts, finite


class Relevance(NamedTuple):
    """How strongly each feature goes along with each class."""

    correlation: Float64[np.ndarray, "F C"]
    """Pearson correlation of feature d with the 0/1 membership of class c."""
    normalised: Float64[np.ndarray, "F C"]
    """A: the correlation divided by its largest absolute value."""
    dead: Int[np.ndarray, " D"]
    """Indices of the constant features, whose rows are zero."""


def relevance(features: Shaped[np.ndarray, "N F"], labels: Int[np.ndarray, " N"]) -> Relevance:
    """Return A of a feature matrix (images x features) with labels 0..C-1.

    Population standard deviations; a constant ("dead") feature correlates with nothing.

    Raises:
        DataError: a feature is not finite, a class has no image, or all features are dead.
    """
    X, counts = finite(features), class_counts(labels)
    n_images, n_given = X.shape
    dead = np.ptp(X, axis=0) == 0
    if dead.all():
        raise DataError(f"All {n_given} features are constant: there is nothing to select from.")
    centred = X - X.mean(axis=0)
    share = counts / n_images
    membership = np.eye(len(counts))[labels] - share
    covariance = centred.T @ membership / n_images
    deviation = np.outer(np.sqrt((centred**2).mean(axis=0)), np.sqrt(share * (1 - share)))
    correlation = np.zeros_like(covariance)
    correlation[~dead] = covariance[~dead] / deviation[~dead]
    return Relevance(correlation, correlation / np.abs(correlation).max(), np.flatnonzero(dead))


def similarity(A: Float[np.ndarray, "F C"]) -> Float64[np.ndarray, "F F"]:
    """Return R: cosine similarity of the rows of A over its largest absolute value, diagonal 0.

    Rows of zeros (dead features) are similar to nothing.
    """
    norms = np.linalg.norm(A, axis=1, keepdims=True)
    unit = np.divide(A, norms, out=np.zeros(A.shape), where=norms > 0)
    R: Float64[np.ndarray, "F F"] = unit @ unit.T
    R = (R + R.T) / 2  # exactly symmetric
    largest = float(np.abs(R).max())
    np.fill_diagonal(R, 0.0)
    return R / largest if largest > 0 else R


def pair_penalties(
    R: Float[np.ndarray, "F F"], n_features: int, variant: str = "correct"
) -> Float64[np.ndarray, "F F"]:
    """Return the symmetric penalty matrix of the pairs E, zero outside of E.

    E are the pairs whose similarity reaches the smallest positive threshold at which
    `n_features` features without such a pair still exist, as found by `spread_threshold`.
    `variant="reference"` searches the threshold on R + R^T but compares it with R, as the
    paper's reference implementation does: with a symmetric R, twice the threshold.

    Raises:
        ConfigError: the variant is neither "correct" nor "reference".
    """
    factors = {"correct": 1.0, "reference": 2.0}
    if variant not in factors:
        raise ConfigError(
            f"Unknown variant {variant!r} of the pair penalties: the choices are "
            f"{', '.join(factors)}."
        )
    return penalties_above(R, factors[variant] * spread_threshold(R, n_features))


def penalties_above(R: Float[np.ndarray, "F F"], threshold: float) -> Float64[np.ndarray, "F F"]:
    """Return (R - m) / max(R - m) where R >= threshold, else 0; m: smallest non-zero entry."""
    penalised: Bool[np.ndarray, "F F"] = threshold <= R
    np.fill_diagonal(penalised, False)
    if not penalised.any():
        return np.zeros(R.shape)
    lowest = R[R != 0].min()
    span = float((R - lowest).max())
    return np.where(penalised, (R - lowest) / span, 0.0) if span > 0 else penalised.astype(float)
