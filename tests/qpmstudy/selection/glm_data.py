"""Features with a class structure, for the tests of the selections by sparse regression."""

import numpy as np


def clustered(
    n_classes: int = 6, per_class: int = 20, n_features: int = 12, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return non-negative, correlated features (images x features) and labels, unequal counts."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), per_class)[: n_classes * per_class - 5]
    latent = rng.normal(size=(n_classes, 8))[labels] + 1.5 * rng.normal(size=(len(labels), 8))
    mixed = latent @ rng.normal(size=(8, n_features)) / np.sqrt(8)
    return np.maximum(mixed + 0.3 * rng.normal(size=mixed.shape), 0.0), labels
