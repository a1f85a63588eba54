"""What means over seeds might have been with other seeds: a Bayesian bootstrap.

Each draw gives every seed a weight from the flat Dirichlet distribution (Rubin, "The Bayesian
bootstrap", 1981), the same for all configurations: a seed draws the validation images and the
dense model that many of them share, so their differences are surer than each is alone. With three
seeds the usual resampling knows ten outcomes; weights know all between.

Weighted means of s seeds lie within them and spread too little, so their deviations are widened to
the standard error, and then held to what the metric can be: no mean of accuracies is above 1.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float


def means_over_seeds(
    values: Float[np.ndarray, "n s m"], done: Bool[np.ndarray, "n s"]
) -> Float[np.ndarray, "n m"]:
    """Return means over the seeds that have run; NaN where one lacks the metric, or none has."""
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(done[:, :, None], values, 0).sum(1) / done.sum(1)[:, None]
    return means


def drawn_means(
    values: Float[np.ndarray, "n s m"],
    done: Bool[np.ndarray, "n s"],
    draws: int,
    seed: int = 0,
    ranges: Sequence[tuple[float, float]] | None = None,
) -> Float[np.ndarray, "d n m"]:
    """Return means over seeds as they might have been; the spread is their standard error.

    Less where a metric's range cuts it off.

    Args:
        values: of each configuration, seed and metric; NaN where there is none.
        done: which seeds of a configuration have run. Others take no part in its mean.
        draws: d.
        seed: of the draws: the same ones give the same means.
        ranges: between what each metric can lie; None: anywhere.

    Returns:
        NaN where a seed that has run lacks the metric, or none has run. A single seed says nothing
        about its spread: all draws are its value.
    """
    weights = np.random.default_rng(seed).standard_exponential((draws, values.shape[1]))
    counts = done.sum(1)  # (n)
    means = means_over_seeds(values, done)
    # Deviations, not values: where all seeds are 1.0, weights that sum to nearly 1 would give less.
    deviations = np.where(done[:, :, None], values - means[:, None], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        totals = weights @ done.T  # (d, n)
        shares = weights[:, None, :] * done / totals[:, :, None]  # (d, n, s)
        weighted = np.einsum("dns,nsm->dnm", shares, deviations)
        # Their variance is (s - 1)/(s + 1) of the squared standard error.
        wider = np.sqrt(np.where(counts > 1, (counts + 1) / (counts - 1), 0.0))
        drawn: np.ndarray = means + wider[:, None] * weighted
    return drawn if ranges is None else drawn.clip(*np.array(ranges).T)
