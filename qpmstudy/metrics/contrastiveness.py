"""Contrastiveness: is a feature either on or off? (paper section 8)

N images, F features. Every feature gets its own mixture of two Gaussians, all at once.
"""

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from qpmstudy.metrics.arrays import Array, as_real
from qpmstudy.metrics.dead_features import live_features

# scikit-learn's GaussianMixture with its defaults, which the reference uses: EM stops early,
# so overlaps agree with the reference's only if the stopping rule does.
VARIANCE_OFFSET = 1e-6
TOLERANCE = 1e-3
MAX_ITERATIONS = 100
COUNT_OFFSET = 10 * np.finfo(np.float64).eps
# EM keeps about ten arrays of what it fits at once.
NUMBERS_AT_ONCE = 2**20


def contrastiveness(features: Float[Array, "N F"]) -> float:
    """Return 1 - the mean overlap of the two Gaussians fitted to each feature, in [0, 1].

    The overlap is the area under the smaller of the two normal densities, without their
    mixture weights. Features are standardised first, so that the scale of f does not matter,
    and dead ones are left out. EM starts from the best split of the sorted values, so the number
    is the same every time, where k-means from random centres scatters by 0.02.
    """
    values = as_real(features)[:, live_features(features)].double().cpu().numpy()
    if values.shape[1] == 0:
        return math.nan
    standardised = (values - values.mean(0)) / values.std(0)
    found = []
    columns = max(1, NUMBERS_AT_ONCE // len(values))
    for start in range(0, values.shape[1], columns):
        _, mean, variance = fit_mixtures(standardised[:, start : start + columns])
        found.append(overlaps(mean, np.sqrt(variance)))
    return 1 - float(np.mean(np.concatenate(found)))


def fit_mixtures(values: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "3 2 F"]:
    """Return share, mean and variance of two Gaussians per column, by EM from its best split.

    Component 0 starts with the lower values.
    """
    ordered = np.sort(values, axis=0)
    mixtures = _maximise(ordered, _best_split(ordered))
    likelihood = np.full(values.shape[1], -np.inf)
    running = np.arange(values.shape[1])  # the columns that have not converged
    for _ in range(MAX_ITERATIONS):
        part = ordered[:, running]
        low, high = _log_densities(part, mixtures[:, :, running])
        both = np.logaddexp(low, high)
        mixtures[:, :, running] = _maximise(part, np.exp(high - both))
        gain = both.mean(0) - likelihood[running]
        likelihood[running] = both.mean(0)
        running = running[np.abs(gain) >= TOLERANCE]
        if running.size == 0:
            break
    return mixtures


def _best_split(ordered: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N F"]:
    """Return 1 for the values above the cut that leaves the least variance within the groups.

    In one dimension the best two clusters are intervals: trying every cut is exact 2-means.
    """
    count = len(ordered)
    below = np.arange(1, count)[:, None]
    sums = np.cumsum(ordered, axis=0)
    head, total = sums[:-1], sums[-1]
    between = head**2 / below + (total - head) ** 2 / (count - below)
    cut = between.argmax(0) + 1
    upper: np.ndarray = (np.arange(count)[:, None] >= cut).astype(np.float64)
    return upper


def _log_densities(
    values: Float[np.ndarray, "N F"], mixtures: Float[np.ndarray, "3 2 F"]
) -> Float[np.ndarray, "2 N F"]:
    share, mean, variance = mixtures[:, :, None]
    constant = np.log(share) - 0.5 * np.log(2 * np.pi * variance)
    densities: np.ndarray = constant - (values - mean) ** 2 / (2 * variance)
    return densities


def _maximise(
    values: Float[np.ndarray, "N F"], upper: Float[np.ndarray, "N F"]
) -> Float[np.ndarray, "3 2 F"]:
    """Return the M-step for responsibilities `upper` of component 1."""
    components = []
    for responsibility in (1 - upper, upper):
        count = responsibility.sum(0) + COUNT_OFFSET
        mean = (responsibility * values).sum(0) / count
        variance = (responsibility * (values - mean) ** 2).sum(0) / count + VARIANCE_OFFSET
        components.append(np.stack([count / len(values), mean, variance]))
    return np.stack(components, axis=1)


def overlaps(
    means: Float[np.ndarray, "2 F"], deviations: Float[np.ndarray, "2 F"]
) -> Float[np.ndarray, " F"]:
    """Return the overlap, in [0, 1], of F pairs of normal distributions."""
    pairs = zip(means.T.tolist(), deviations.T.tolist(), strict=True)
    return np.array(
        [
            NormalDist(mean[0], deviation[0]).overlap(NormalDist(mean[1], deviation[1]))
            for mean, deviation in pairs
        ]
    )
