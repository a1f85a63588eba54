"""Names of what stages find out, as results call them, and how people read their values.

Importing them needs no torch.
"""

import math
from collections.abc import Iterable

SPLIT_METRICS = (
    *("accuracy", "plausibility", "plausibility_shifted", "empty_maps", "sid"),
    "patch_contextualisation",
)
"""Measured on the images of a split."""

TRAINING_METRICS = (
    *("train_accuracy", "train_plausibility", "class_independence", "contrastiveness"),
    "dead_features",
)
"""Measured on the training images."""

COMPACTNESS = ("n_features", "features_per_class", "parameters")
"""How small a classifier is (paper Table 2)."""

CERTIFICATE = ("objective", "bound", "gap", "status", "solver", "seconds", "fallback")
"""How good the answer of a selection is; each None where its method has no such thing."""

PROOF = tuple(name for name in CERTIFICATE if name != "seconds")
"""What of it a row has, as "qp_objective" and so on; the seconds are those of the stage."""

COUNTS = (*COMPACTNESS, "seconds_per_epoch", "dead_features", "empty_maps")
"""What columns that are no fractions are called, behind the name of a split or phase."""

MASKED = ("plausibility", "plausibility_shifted", "empty_maps")
"""What columns are called that only a dataset with object masks has values in."""

ROUNDING = 1e-6
"""By how much a mean of single-precision numbers may leave the range of what it is a mean of."""

MEANINGS = {
    "accuracy": "Share of images whose class is predicted [fraction].",
    "plausibility": "Share of a decision's evidence that lies on the object [fraction].",
    "plausibility_shifted": "The same with maps shifted to begin at 0, as in the paper's code: for "
    "signed weights, whose ratio of sums can be of any size [fraction].",
    "empty_maps": "Images without any evidence, which count as 0 in Plausibility [images].",
    "sid": "SID@k: whether the features behind a decision look at different places [fraction].",
    "patch_contextualisation": "How much of the whole image is in the backbone's patches: "
    "cosine of their mean and CLS [-1 to 1].",
    "train_accuracy": "Accuracy on the training images [fraction].",
    "train_plausibility": "Plausibility on the training images [fraction].",
    "class_independence": "Whether features stand for what classes share, rather than for one of "
    "them [fraction].",
    "contrastiveness": "Whether a feature is either on or off, not in between [fraction].",
    "dead_features": "Features with the same value for every image [features].",
    "n_features": "Features of the model [features].",
    "features_per_class": "Features of a class, on average [features].",
    "parameters": "Numbers in adapter and head that were learned [numbers].",
    "seconds_per_epoch": "Median over the epochs of the last training, on the machine it ran on "
    "[seconds].",
    "objective": "What the selection that was found is worth.",
    "bound": "Proven: no selection is worth more.",
    "gap": "How far the bound lies above the objective, relative to it [fraction].",
    "status": "Whether that is proven optimal, near enough, or stopped by time.",
    "solver": "Which solver answered.",
    "fallback": "Why another solver than the one named answered; null where none did.",
}
"""What each figure says, its unit in brackets."""


def is_fraction(metric: str) -> bool:
    """Return whether a metric lies between 0 and 1 and is shown in percent."""
    return not metric.endswith(COUNTS)


def shown(metric: str, value: float | None) -> str:
    """Return a value as people read it: percent of a fraction, or the number; "-" for none."""
    if value is None or math.isnan(value):
        return "-"
    if is_fraction(metric):
        return f"{100 * value:.1f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown_mean(metric: str, mean: float | None, spread: float | None) -> str:
    """Return a mean and its spread over seeds as `shown`: "71.2 ±0.8"; no spread of one seed."""
    beside = shown(metric, spread)
    return shown(metric, mean) + ("" if beside == "-" else f" ±{beside}")


def needs_masks(metric: str) -> bool:
    """Return whether a metric is measured with object masks alone."""
    return metric.endswith(MASKED)


def range_of(metric: str, values: Iterable[float]) -> tuple[float, float]:
    """Return between what a metric can lie: 0 and 1 for a fraction, 0 and infinity for a count.

    One of which a value lies outside has no ends: Plausibility leaves [0, 1] where weights are
    signed, and stays in it for those of a selection.

    Args:
        metric: a column's name, with that of a split or phase before it.
        values: that were measured; NaN where there is none.
    """
    low, high = 0.0, 1.0 if is_fraction(metric) else math.inf
    if metric.endswith("patch_contextualisation"):  # a cosine
        low = -1.0
    outside = any(value < low - ROUNDING or value > high + ROUNDING for value in values)
    return (-math.inf, math.inf) if outside else (low, high)
