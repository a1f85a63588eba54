"""Features that say nothing: the same value for every image."""

from jaxtyping import Bool, Float
from torch import Tensor

from qpmstudy.metrics.arrays import Array, as_real

# A constant that was computed in batches of different size differs in its last bits.
ROUNDING = 1e-6


def live_features(features: Float[Array, "N F"]) -> Bool[Tensor, " F"]:
    """Return which features vary over the images by more than rounding (1e-6 of their size)."""
    values = as_real(features)
    low, high = values.aminmax(dim=0)
    return high - low > ROUNDING * high.abs().maximum(low.abs())


def dead_features(features: Float[Array, "N F"]) -> int:
    """Return the number of features that are constant over the images."""
    return int((~live_features(features)).sum())
