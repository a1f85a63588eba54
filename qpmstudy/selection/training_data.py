"""What every method selects from: features that are finite, and an image of each class.

N images, F features, C classes.
"""

import numpy as np
from jaxtyping import Float64, Int, Shaped

from qpmstudy.errors import DataError


def finite(features: Shaped[np.ndarray, "N F"]) -> Float64[np.ndarray, "N F"]:
    """Return features in double precision.

    Raises:
        DataError: one is not finite.
    """
    X = np.asarray(features, dtype=np.float64)
    if not np.isfinite(X).all():
        raise DataError(
            f"{int((~np.isfinite(X)).any(axis=0).sum())} features have values that are not "
            f"finite: lower the learning rate of the model that made them."
        )
    return X


def class_counts(labels: Int[np.ndarray, " N"]) -> Int[np.ndarray, " C"]:
    """Return how many images each class has.

    Raises:
        DataError: labels do not cover 0..C-1 with C >= 2.
    """
    counts = np.bincount(labels)
    if len(counts) < 2 or not counts.all():
        missing = np.flatnonzero(counts == 0).tolist()
        raise DataError(
            f"Labels must cover the classes 0..C-1 with C >= 2, but classes {missing} of "
            f"{len(counts)} have no image: renumber the labels."
        )
    return counts
