"""The locality bias b: features that look at one place, away from the image's border, count more.

Part of QPM's objective, sum_d b_d s_d (Norrenbrock et al. 2025, "QPM: Discrete Optimization for
Globally Interpretable Image Classification"); DINO-QPM leaves it out by default. The formula is
that of the published code. B images, P patches on a rows x columns grid, F features.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from qpmstudy.errors import ConfigError, DataError

LARGEST = np.sqrt(10) / 10
"""Largest magnitude of b, in units of the objective."""


def locality_bias(
    batches: Iterable[tuple[Float[Tensor, "B P F"], Float[Tensor, "B F"]]], grid: tuple[int, int]
) -> Float64[np.ndarray, " F"]:
    """Return b: the scaled locality, or its minimum for a feature that is strongest at the border.

    A feature that never fires gets the lowest b of all.

    Args:
        batches: feature maps and vectors of the training images, each batch once. The feature
            maps of one batch are in memory at a time.
        grid: rows and columns of the patches.

    Raises:
        ConfigError: the patches do not fill the grid.
        DataError: there is no image, or no feature fires.
    """
    locality, border = locality_and_border(batches, grid)
    fires = locality > 0
    if not fires.any():
        raise DataError(
            "No feature fires on any image, so no locality bias can be computed: train the dense "
            "model longer, or set select.bias = none."
        )
    local, inner = clipped_and_scaled(locality[fires]), clipped_and_scaled(border[fires])
    of_firing = clipped_and_scaled(np.where(inner >= 0, local, local.min()))
    bias = np.full(len(fires), of_firing.min())
    bias[fires] = of_firing
    return bias


def locality_and_border(
    batches: Iterable[tuple[Float[Tensor, "B P F"], Float[Tensor, "B F"]]], grid: tuple[int, int]
) -> tuple[Float64[np.ndarray, " F"], Float64[np.ndarray, " F"]]:
    """Return how local each feature is, and minus how often it is strongest at the border.

    Locality: mean over images of max_p softmax(map)_p * f_d / sum f. Border: minus the sum over
    images of f_d / sum f where the map's largest patch lies on the border. An image on which
    nothing fires counts 0 in both.
    """
    on_border = border_patches(grid)
    peaks: Tensor = torch.zeros((), dtype=torch.float64)
    at_border, images = peaks, 0
    for maps, vector in batches:
        if maps.shape[1] != len(on_border):
            raise ConfigError(
                f"Locality bias: a grid of {grid[0]} x {grid[1]} has {len(on_border)} patches, but "
                f"the feature maps have {maps.shape[1]}; pass the grid of the embeddings."
            )
        total = vector.sum(1, keepdim=True)
        share = (vector / total).where(total != 0, 0.0)
        peak = maps.softmax(1).amax(1) * share
        border = on_border.to(maps.device)[maps.argmax(1)] * share
        peaks = peaks + peak.sum(0, dtype=torch.float64).cpu()
        at_border = at_border + border.sum(0, dtype=torch.float64).cpu()
        images += len(maps)
    if images == 0:
        raise DataError("There is no training image to compute a locality bias from.")
    return peaks.numpy() / images, -at_border.numpy()


def border_patches(grid: tuple[int, int]) -> Bool[Tensor, " P"]:
    """Return which patches lie on the outermost ring of the grid, row by row."""
    border = torch.ones(grid, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    return border.flatten()


def clipped_and_scaled(values: Float[np.ndarray, " F"]) -> Float64[np.ndarray, " F"]:
    """Return the values clipped to their largest cluster, centred, at most `LARGEST` in magnitude.

    The cluster is mean shift's with scikit-learn's bandwidth; of equally large ones, the one it
    names first. A value outside of it takes the magnitude of the cluster's nearer end and keeps
    its own sign: where the cluster is one value, the minimum shared by all features at the
    border, plain clipping would leave nothing of the others. Equal values give zeros.
    """
    from sklearn.cluster import MeanShift  # half as long to import as torch, and seldom asked for

    clusters = MeanShift().fit_predict(values.reshape(-1, 1))
    largest = values[clusters == np.bincount(clusters).argmax()]
    low, high = float(largest.min()), float(largest.max())
    nearer = np.where(values < low, abs(low), abs(high))
    outside = (values < low) | (values > high)
    clipped = np.where(outside, nearer * np.sign(values), values).astype(np.float64)
    centred = clipped - clipped.mean()
    size = np.abs(centred).max()
    scaled: Float64[np.ndarray, " F"] = centred / size * LARGEST if size > 0 else centred
    return scaled
