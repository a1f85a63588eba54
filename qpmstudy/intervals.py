"""How sure a figure is: intervals of shares, of means over seeds, and of paired differences.

n images, R resamples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
AT_ONCE = 2**24
"""Numbers of a block of resamples: 128 MiB."""


@dataclass(frozen=True)
class Interval:
    """A figure and the interval that holds the true one with `CONFIDENCE`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """A metric of two models on the same n images, and by how much the second is above the first.

    The images that define the metric for only one of them are left out of both means.
    """

    first: float
    second: float
    difference: Interval
    images: int


@dataclass(frozen=True)
class McNemar:
    """Images that only one of two models gets right, and how likely such an imbalance is by chance.

    `p` is two-sided and exact: where both are as good, each such image is either's with 1/2.
    """

    only_first: int
    only_second: int
    p: float


def share_interval(hits: int, of: int) -> Interval:
    """Return the share of hits with Wilson's interval, which stays in [0, 1].

    Raises:
        ValueError: `hits` is not in 0..of, or `of` is 0.
    """
    found = stats.binomtest(hits, of).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(hits / of, float(found.low), float(found.high))


def mean_interval(
    values: Sequence[float], within: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Return the mean of a few values with Student's interval; NaN around a single one.

    Args:
        values: of each seed.
        within: between what a value, and so their mean, can lie: the interval ends there.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return Interval(mean, max(mean - reach, within[0]), min(mean + reach, within[1]))


def paired_difference(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"], seed: int = 0
) -> PairedDifference | None:
    """Return how a metric's mean differs between two models, bootstrapped over images.

    Every resample draws the same images for both, so what makes an image easy for both cancels.
    The interval is the percentile one of `RESAMPLES` resamples; NaN around a single image, of which
    every resample is the same.

    Args:
        first: the metric of each image for the first model, NaN where it has none.
        second: the same for the second.
        seed: of the resamples.

    Returns:
        None where no image has both.
    """
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both].astype(np.float64), second[both].astype(np.float64)
    count = len(a)
    if not count:
        return None
    gain = b - a
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    block = max(1, AT_ONCE // count)
    for start in range(0, RESAMPLES, block):
        drawn = rng.integers(0, count, (min(block, RESAMPLES - start), count))
        means[start : start + len(drawn)] = gain[drawn].mean(1)
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(means, ends) if count > 1 else (math.nan, math.nan)
    difference = Interval(float(gain.mean()), float(low), float(high))
    return PairedDifference(float(a.mean()), float(b.mean()), difference, count)


def mcnemar(first_right: Bool[np.ndarray, " n"], second_right: Bool[np.ndarray, " n"]) -> McNemar:
    """Return McNemar's exact test of which images two models get right (McNemar 1947)."""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, p)
