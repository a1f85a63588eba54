"""The sparse layer of the SLDD-Model: N* features, k weights a class on average.

Norrenbrock et al. 2022, "Take 5: Interpretable Image Classification with a Handful of Features".
K entries of a regularisation path, C classes, S selected features (paper: N*).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, Shaped

from qpmstudy.errors import SolverError
from qpmstudy.selection.sldd_features import selected_path

DROP_RATE = 0.5
"""Share of the path entry's weights that pruning may take away."""


@dataclass(frozen=True)
class SparseLayer:
    """A classifier on few features: logits W ((f - mean) / std) + b.

    Mean and population deviation are those of the features it was made from.
    """

    selected: Int[np.ndarray, " S"]
    """Indices of the selected features, ascending."""
    weight: Float64[np.ndarray, "C S"]
    """W; column j belongs to feature selected[j]. Neither method forbids a column of zeros."""
    bias: Float64[np.ndarray, " C"]


def sldd(
    features: Shaped[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    n_features: int,
    per_class: int,
) -> SparseLayer:
    """Return the SLDD-Model's layer for a dense model's training features.

    Args:
        features: images x features.
        labels: class of each image, 0..C-1.
        n_features: N*, features to select.
        per_class: k, weights a class has on average; fewer only if the path has no more.

    Raises:
        ConfigError: a size is below 1.
        DataError: a feature is not finite, or a class has no image.
        SolverError: a size is more than there is to choose from, or no solution was found.
    """
    selected, path = selected_path(features, labels, n_features, per_class)
    weight, bias = sparsify(path.weights, path.biases, per_class)
    return SparseLayer(selected, weight, bias)


def sparsify(
    weights: Float[np.ndarray, "K C S"], biases: Float[np.ndarray, "K C"], per_class: int
) -> tuple[Float[np.ndarray, "C S"], Float[np.ndarray, " C"]]:
    """Return the k C largest weights of the fitting path entry, and its bias.

    That entry is the one with most weights among those with at most k / `DROP_RATE` a class on
    average; never the first, which has none.

    Raises:
        SolverError: no such entry has a weight.
    """
    limit = per_class / DROP_RATE
    mean = (weights[1:] != 0).sum(axis=2).mean(axis=1)
    fitting = np.where(mean <= limit, mean, 0.0)
    if not fitting.any():
        raise SolverError(
            f"No entry of a regularisation path of {len(weights)} has weights, but at most "
            f"{limit:g} a class: they have {np.unique(mean)}. Raise per_class."
        )
    at = 1 + int(fitting.argmax())
    return keep_largest(weights[at], per_class * weights.shape[1]), biases[at]


def keep_largest(weight: Float[np.ndarray, "C S"], count: int) -> Float[np.ndarray, "C S"]:
    """Return W with all but its `count` largest entries by magnitude set to zero.

    Of equal magnitudes those of earlier classes, then features, are kept.
    """
    order = np.argsort(-np.abs(weight), axis=None, kind="stable")
    kept = weight.copy()
    kept.flat[order[count:]] = 0.0
    return kept
