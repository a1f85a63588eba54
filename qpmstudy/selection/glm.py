"""The regularisation path of a sparse linear layer (Wong et al. 2021, section 2).

Minimises, for falling lambda, the mean cross-entropy of W x + b over the training images plus
lambda * (alpha ||W||_1 + (1 - alpha) / 2 ||W||_F^2), with x the standardised features; "Leveraging
Sparse Linear Layers for Debuggable Deep Networks". Each solution starts where the two before it
point to.
N images, F features, C classes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from qpmstudy.errors import ConfigError, DataError
from qpmstudy.selection.glm_penalties import ElasticNet
from qpmstudy.selection.glm_solver import MultinomialLoss, minimise
from qpmstudy.selection.training_data import class_counts, finite

ALPHA = 0.99
EPSILON = 1e-3
STEPS = 100


class Path(NamedTuple):
    """Solutions by falling strength of the penalty; the first has no weights."""

    weights: Float64[np.ndarray, "K C F"]
    biases: Float64[np.ndarray, "K C"]
    lambdas: Float64[np.ndarray, " K"]


def standardise(features: Shaped[np.ndarray, "N F"]) -> Float64[np.ndarray, "N F"]:
    """Return every feature with mean 0 and population deviation 1; constant ones are 0.

    Raises:
        DataError: a feature is not finite.
    """
    X = finite(features)
    varies: Bool[np.ndarray, " F"] = np.ptp(X, axis=0) > 0
    centred = X - X.mean(axis=0)
    centred[:, ~varies] = 0.0
    deviation = np.sqrt((centred**2).mean(axis=0))
    standardised: Float64[np.ndarray, "N F"] = centred / np.where(varies, deviation, 1.0)
    return standardised


def regularisation_path(
    X: Float64[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    alpha: float = ALPHA,
    epsilon: float = EPSILON,
    steps: int = STEPS,
) -> Path:
    """Return the path on standardised features X from lambda_max to epsilon * lambda_max.

    lambda_max is the smallest strength at which no feature has a weight; the `steps` strengths
    are evenly spaced in their logarithm. Solutions are optimal to `glm_solver.TOLERANCE`.

    Raises:
        ConfigError: alpha, epsilon or steps is out of range.
        DataError: a class has no image, or no feature varies with the class.
        SolverError: a solution was not found to the precision asked for.
    """
    if not 0 < alpha <= 1 or not 0 < epsilon < 1 or steps < 2:
        raise ConfigError(
            f"A regularisation path needs 0 < alpha <= 1, 0 < epsilon < 1 and at least 2 steps, "
            f"not alpha {alpha}, epsilon {epsilon} and {steps} steps."
        )
    class_counts(labels)  # refuses a class without an image
    loss = MultinomialLoss.of(X, labels)
    coefficients = loss.null()
    steepest = float(np.abs(loss.value_and_gradient(coefficients)[1][:, :-1]).max())
    if steepest == 0:
        raise DataError("No feature differs between the classes: train the dense model longer.")
    lambdas = steepest / alpha * np.geomspace(1.0, epsilon, steps)
    path = [coefficients, coefficients]
    for strength in lambdas:
        start = _continued(path[-2], path[-1])
        path.append(minimise(loss, ElasticNet(float(strength), alpha), start))
    solutions = np.stack(path[2:])
    return Path(solutions[:, :, :-1], solutions[:, :, -1], lambdas)


def _continued(
    before: Float64[np.ndarray, "C D"], last: Float64[np.ndarray, "C D"]
) -> Float64[np.ndarray, "C D"]:
    """Return the point as far beyond `last` as that is beyond `before`; no weight changes sign."""
    ahead: Float64[np.ndarray, "C D"] = 2 * last - before
    weights = ahead[:, :-1]
    weights[np.sign(weights) != np.sign(last[:, :-1])] = 0.0
    return ahead
