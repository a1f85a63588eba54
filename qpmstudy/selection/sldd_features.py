"""Which N* features the SLDD-Model keeps: one by one, with a penalty on whole features.

Norrenbrock et al. 2022, "Take 5: Interpretable Image Classification with a Handful of Features":
the group version of the elastic net (alpha 0.8, strengths from a tenth of lambda_max downwards),
whose proximal operator lets one new feature in at a time. Here each fit is solved to optimality,
so the new feature is the one whose gradient exceeds the penalty most, and no seed or batch order
matters. Where the published code differs: it holds a tenth of the images out, takes lambda_max
from features that are not standardised, stops its fits early, and starts again at the strongest
penalty after every feature.
"""

import numpy as np
from jaxtyping import Float64, Int, Shaped

from qpmstudy.errors import ConfigError, SolverError
from qpmstudy.selection.glm import (
    EPSILON,
    STEPS,
    Path,
    regularisation_path,
    standardise,
)
from qpmstudy.selection.glm_penalties import GroupElasticNet
from qpmstudy.selection.glm_solver import MultinomialLoss, minimise
from qpmstudy.selection.training_data import class_counts

ALPHA = 0.8
DISCOUNT = 0.1
"""Strongest penalty, as a share of the one that lets no feature in."""


def select_features(
    X: Float64[np.ndarray, "N F"], labels: Int[np.ndarray, " N"], n_features: int
) -> Int[np.ndarray, " S"]:
    """Return the indices of `n_features` features, ascending, chosen one after the other.

    A feature enters when the gradient of its weights is longer than lambda * alpha, the longest
    first; when there is none, lambda falls, and below the last lambda the longest enters anyway.

    Args:
        X: standardised features (images x features).
        labels: class of each image, 0..C-1.
        n_features: N*.

    Raises:
        DataError: a class has no image.
        SolverError: fewer than `n_features` features vary, or a fit failed.
    """
    class_counts(labels)  # refuses a class without an image
    n_given, n_live = X.shape[1], int(X.any(axis=0).sum())
    if n_live < n_features:
        raise SolverError(
            f"{n_features} features cannot be selected: only {n_live} of {n_given} are not "
            f"constant. Lower n_features or train with more features."
        )
    if n_features == n_given:
        return np.arange(n_given)
    loss = MultinomialLoss.of(X, labels)
    coefficients = loss.null()
    slopes = _slopes(loss, coefficients)
    lambdas = DISCOUNT * slopes.max() / ALPHA * np.geomspace(1.0, EPSILON, STEPS)
    at, chosen = 0, [int(slopes.argmax())]
    while len(chosen) < n_features:
        coefficients = _refit(X, labels, chosen, coefficients, float(lambdas[at]))
        slopes = _slopes(loss, coefficients)
        slopes[chosen] = 0.0
        if slopes.max() > ALPHA * lambdas[at] or at == len(lambdas) - 1:
            chosen.append(int(slopes.argmax()))
        else:
            at += 1
    return np.sort(np.array(chosen))


def selected_path(
    features: Shaped[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    n_features: int,
    per_class: int,
) -> tuple[Int[np.ndarray, " S"], Path]:
    """Return the N* selected features, and the regularisation path on them alone.

    Raises:
        ConfigError: a size is below 1.
        DataError: a feature is not finite, or a class has no image.
        SolverError: a size is more than there is to choose from, or a fit failed.
    """
    for name, value in (("n_features", n_features), ("per_class", per_class)):
        if value < 1:
            raise ConfigError(f"{name} is {value}, but must be at least 1.")
    if per_class > n_features:
        raise SolverError(
            f"A class cannot have {per_class} of only {n_features} selected features on "
            f"average: lower per_class or raise n_features."
        )
    X = standardise(features)
    selected = select_features(X, labels, n_features)
    return selected, regularisation_path(X[:, selected], labels)


def _slopes(
    loss: MultinomialLoss, coefficients: Float64[np.ndarray, "C D"]
) -> Float64[np.ndarray, " F"]:
    """Return, for each feature, the length of the gradient of its weights."""
    _, gradient = loss.value_and_gradient(coefficients)
    lengths: Float64[np.ndarray, " F"] = np.linalg.norm(gradient[:, :-1], axis=0)
    return lengths


def _refit(
    X: Float64[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    chosen: list[int],
    start: Float64[np.ndarray, "C D"],
    strength: float,
) -> Float64[np.ndarray, "C D"]:
    """Return the best coefficients with weights on the chosen features only."""
    used = [*chosen, X.shape[1]]  # the bias stands last
    result = np.zeros_like(start)
    result[:, used] = minimise(
        MultinomialLoss.of(X[:, chosen], labels), GroupElasticNet(strength, ALPHA), start[:, used]
    )
    return result
