"""SID@k: do the features behind a decision look at different places? (paper Eq. 11-14)"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qpmstudy.errors import ConfigError
from qpmstudy.metrics.arrays import Array, as_real, as_tensor

# As in the reference; below it a map is empty and its softmax uniform.
MEAN_FLOOR = 1e-5


class SidMean:
    """SID@k over batches, so that all feature maps need not be in memory at once.

    Per image: the k features of largest signed weight for the predicted class; each map divided
    by its mean absolute value, softmax over the patches; the largest of the k values in each
    patch, summed and divided by k. In [1/k, 1]. Of equal weights the feature of smaller index
    goes first. Images whose predicted class has fewer than k non-zero weights are `left_out`
    of the mean over `images`, as in the reference.
    """

    def __init__(self, weight: Float[Array, "C F"], k: int = 5) -> None:
        weights = as_real(weight)
        if not 1 <= k <= weights.shape[1]:
            raise ConfigError(
                f"SID@k: k must be between 1 and the number of features "
                f"({weights.shape[1]}), not {k}."
            )
        self.images = 0
        self.left_out = 0
        self._sum = 0.0
        self._values: list[Tensor] = []
        self._top = weights.sort(dim=1, descending=True, stable=True).indices[:, :k]
        self._defined = (weights != 0).sum(1) >= k

    def update(self, feature_maps: Float[Array, "N P F"], predicted: Int[Array, " N"]) -> None:
        """Add images with their predicted classes."""
        maps = as_tensor(feature_maps)
        classes = as_tensor(predicted).to(self._top.device)
        counted = self._defined[classes]
        chosen = self._top[classes].unsqueeze(1).expand(-1, maps.shape[1], -1).to(maps.device)
        top_maps = as_real(maps.gather(2, chosen))
        size = top_maps.abs().mean(1, keepdim=True).clamp(MEAN_FLOOR)
        diversity = (top_maps / size).softmax(1).amax(2).sum(1) / chosen.shape[2]
        counted_there = counted.to(maps.device)
        self._sum += float(diversity.double()[counted_there].sum())
        self._values.append(diversity.float().where(counted_there, math.nan).cpu())
        self.images += int(counted.sum())
        self.left_out += int((~counted).sum())

    def value(self) -> float:
        """Return the mean over all images that were not left out."""
        return self._sum / self.images if self.images else math.nan

    def values(self) -> Float[Tensor, " N"]:
        """Return the value of each image, in the order they were added; NaN for one left out."""
        return torch.cat(self._values) if self._values else torch.empty(0)


def sid(
    feature_maps: Float[Array, "N P F"],
    weight: Float[Array, "C F"],
    predicted: Int[Array, " N"],
    k: int = 5,
) -> float:
    """Return SID@k (paper Eq. 11-14; ties and small classes as in SidMean), mean over images.

    Raises:
        ConfigError: there are fewer than k features.
    """
    mean = SidMean(weight, k)
    mean.update(feature_maps, predicted)
    return mean.value()
