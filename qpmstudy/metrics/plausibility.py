"""Plausibility: the share of a decision's evidence that lies on the object (paper Eq. 3-5)."""

import math

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import max_pool2d

from qpmstudy.errors import ConfigError
from qpmstudy.metrics.arrays import Array, as_real, as_tensor


class PlausibilityMean:
    """Plausibility over batches, so that all feature maps need not be in memory at once.

    Per image G = sum_d W_cd F^d for the predicted class c, and sum(G * M) / sum(G) with M the
    object mask dilated by 3 x 3 ones (outside the grid is background). Weights may be signed:
    the ratio is the paper's and can then leave [0, 1]; where sum(G) is near 0 it is of any size.
    `images` were added, of which `empty` have sum(G) = 0 and count as 0.
    """

    def __init__(
        self, weight: Float[Array, "C F"], grid: tuple[int, int], shifted: bool = False
    ) -> None:
        """`shifted` takes the reference implementation's G - min G for G.

        That stays in [0, 1] for signed weights, and moves evidence spread evenly over the image.
        """
        self.images = 0
        self.empty = 0
        self._sum = 0.0
        self._shares: list[Tensor] = []
        self._weight, self._grid, self._shifted = as_real(weight), grid, shifted

    def update(
        self,
        feature_maps: Float[Array, "N P F"],
        predicted: Int[Array, " N"],
        masks: Shaped[Array, "N P"],
    ) -> None:
        """Add images with their predicted classes; a mask's patch is object where not 0.

        Raises:
            ConfigError: the patches do not fill the grid.
        """
        evidence = weighted_maps(feature_maps, self._weight, predicted).double()
        if self._shifted:
            evidence = evidence - evidence.amin(1, keepdim=True)
        on_object = dilated(masks, self._grid).to(evidence.device)
        total = evidence.sum(1)
        share = ((evidence * on_object).sum(1) / total).where(total != 0, 0)
        self._shares.append(share.float().cpu())
        self._sum += float(share.sum())
        self.empty += int((total == 0).sum())
        self.images += len(total)

    def value(self) -> float:
        """Return the mean over all images so far."""
        return self._sum / self.images if self.images else math.nan

    def shares(self) -> Float[Tensor, " N"]:
        """Return the value of each image, in the order they were added."""
        return torch.cat(self._shares) if self._shares else torch.empty(0)


def weighted_maps(
    feature_maps: Float[Array, "N P F"], weight: Float[Array, "C F"], predicted: Int[Array, " N"]
) -> Float[Tensor, "N P"]:
    """Return G = sum_d W_cd F^d, the evidence for the predicted class c (paper Eq. 3)."""
    maps = as_real(feature_maps)
    chosen = as_real(weight).to(maps)[as_tensor(predicted).to(maps.device)]
    return torch.bmm(maps, chosen.unsqueeze(2)).squeeze(2)


def dilated(masks: Shaped[Array, "N P"], grid: tuple[int, int]) -> Bool[Tensor, "N P"]:
    """Return which patches are object or touch one, also by a corner (row-major grid)."""
    tensor = as_tensor(masks)
    if tensor.shape[1] != math.prod(grid):
        raise ConfigError(
            f"Plausibility: a grid of {grid[0]} x {grid[1]} has {math.prod(grid)} patches, but "
            f"the masks have {tensor.shape[1]}; pass the grid of the embeddings."
        )
    on_grid = (tensor != 0).float().view(-1, 1, *grid)
    return max_pool2d(on_grid, kernel_size=3, stride=1, padding=1).flatten(1) > 0


def plausibility(
    feature_maps: Float[Array, "N P F"],
    weight: Float[Array, "C F"],
    predicted: Int[Array, " N"],
    masks: Shaped[Array, "N P"],
    grid: tuple[int, int],
    shifted: bool = False,
) -> float:
    """Return Plausibility (paper Eq. 3-5; see PlausibilityMean), the mean over images."""
    mean = PlausibilityMean(weight, grid, shifted)
    mean.update(feature_maps, predicted, masks)
    return mean.value()
