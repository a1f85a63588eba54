"""The sparse layer of Q-SENN: every class-feature relation is positive, negative or absent.

Norrenbrock et al. 2024, "Q-SENN: Quantized Self-Explaining Neural Networks". The paper repeats
selection and fine-tuning four times: `qsenn` selects in the first round, `requantised` in those
after it, which keep the features and decide anew what they mean for each class.
C classes, S selected features.
"""

import numpy as np
from jaxtyping import Float, Int, Shaped

from qpmstudy.errors import SolverError
from qpmstudy.selection.glm import Path, regularisation_path, standardise
from qpmstudy.selection.sldd import SparseLayer, keep_largest
from qpmstudy.selection.sldd_features import selected_path


def qsenn(
    features: Shaped[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    n_features: int,
    per_class: int,
) -> SparseLayer:
    """Return Q-SENN's layer for a dense model's training features: weights in {-a, 0, a}.

    Args:
        features: images x features.
        labels: class of each image, 0..C-1.
        n_features: N*, features to select.
        per_class: k, weights a class has on average; fewer only if the path's end has no more.

    Raises:
        ConfigError: a size is below 1.
        DataError: a feature is not finite, or a class has no image.
        SolverError: a size is more than there is to choose from, or no solution was found.
    """
    selected, path = selected_path(features, labels, n_features, per_class)
    return _end_of(path, selected, per_class)


def requantised(
    features: Shaped[np.ndarray, "N S"], labels: Int[np.ndarray, " N"], per_class: int
) -> SparseLayer:
    """Return the layer of a later round: all S features of the fine-tuned model, new relations.

    A feature that fine-tuning has made constant stays, without a weight.

    Raises:
        DataError: a feature is not finite, a class has no image, or all features are constant.
        SolverError: no solution was found.
    """
    path = regularisation_path(standardise(features), labels)
    return _end_of(path, np.arange(features.shape[1]), per_class)


def _end_of(path: Path, selected: Int[np.ndarray, " S"], per_class: int) -> SparseLayer:
    weight = quantise(path.weights[-1], per_class)
    return SparseLayer(selected, weight, balanced_bias(weight, path.biases[-1]))


def quantise(weight: Float[np.ndarray, "C S"], per_class: int) -> Float[np.ndarray, "C S"]:
    """Return the signs of the k C largest weights, times their mean magnitude a.

    Raises:
        SolverError: all weights are zero.
    """
    kept = keep_largest(weight, per_class * len(weight))
    if not kept.any():
        raise SolverError("There is no weight to quantise: the layer given is zero everywhere.")
    result: Float[np.ndarray, "C S"] = np.sign(kept) * np.abs(kept[kept != 0]).mean()
    return result


def balanced_bias(
    quantised: Float[np.ndarray, "C S"], bias: Float[np.ndarray, " C"]
) -> Float[np.ndarray, " C"]:
    """Return a bias that falls linearly with the net count of a class's positive weights.

    It is max |b| for the class with the fewest, -max |b| for the one with the most. When all
    classes have equally many it is max |b| for each, which decides nothing.
    """
    net = np.sign(quantised).sum(axis=1)
    above = net - net.min()
    largest = np.abs(bias).max()
    result: Float[np.ndarray, " C"] = largest * (1 - 2 * above / max(above.max(), 1.0))
    return result
