"""Generated selection problems: features that share latent factors, so that R matters.

Classes are described by binary attributes, an attribute is shared by several classes, and a
feature responds to a few attributes: several features see the same ones and are redundant.
"""

import numpy as np

from qpmstudy.selection import SelectionProblem


def factor_features(
    n_given: int, n_classes: int, seed: int, per_image: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (images, n_given) as after a ReLU and the labels 0..n_classes-1."""
    rng = np.random.default_rng(seed)
    n_attributes = max(8, int(1.2 * n_classes**0.75))
    has = rng.random((n_classes, n_attributes)) < rng.uniform(0.08, 0.35, n_attributes)
    labels = np.repeat(np.arange(n_classes), per_image)
    shown = has[labels] * (0.6 + 0.4 * rng.random((len(labels), n_attributes)))
    shown += 0.25 * rng.standard_normal(shown.shape)
    loading = np.zeros((n_attributes, n_given))
    for d in range(n_given):
        seen = rng.choice(n_attributes, size=rng.integers(1, 4), replace=False)
        loading[seen, d] = rng.uniform(0.3, 1.0, len(seen)) * rng.choice([1, 1, 1, -0.5], len(seen))
    response = shown @ loading + 0.35 * rng.standard_normal((len(labels), n_given))
    return np.maximum(response - rng.uniform(0.0, 0.4, n_given), 0.0), labels


def generated(
    n_given: int, n_classes: int, n_features: int, per_class: int, seed: int = 0
) -> SelectionProblem:
    """Return the selection problem of `factor_features`."""
    features, labels = factor_features(n_given, n_classes, seed)
    return SelectionProblem.from_features(features, labels, n_features, per_class)


SIZES = {
    "64x16": (64, 16, 18, 5),
    "64x30": (64, 30, 15, 3),
    "96x40": (96, 40, 20, 4),
    "128x50": (128, 50, 24, 5),
    "256x100": (256, 100, 35, 5),
    "512x196": (512, 196, 50, 5),
    "512x200": (512, 200, 50, 5),
    "2048x1000": (2048, 1000, 150, 5),
}
"""Name -> features given, classes, features to select, features a class."""
