"""Patch Contextualisation: how much of the whole image is in a backbone's patches."""

import math

from jaxtyping import Float
from torch.nn.functional import cosine_similarity

from qpmstudy.metrics.arrays import Array, as_tensor

IMAGES_AT_ONCE = 64


class PatchContextualisationMean:
    """Patch Contextualisation over batches: the cosine of mean patch token and CLS token."""

    def __init__(self) -> None:
        self.images = 0
        self._sum = 0.0

    def update(self, patches: Float[Array, "N P D"], cls: Float[Array, "N D"]) -> None:
        """Add images."""
        mean_patch = as_tensor(patches).double().mean(1)
        whole = as_tensor(cls).double().to(mean_patch.device)
        self._sum += float(cosine_similarity(mean_patch, whole).sum())
        self.images += len(mean_patch)

    def value(self) -> float:
        """Return the mean over all images so far."""
        return self._sum / self.images if self.images else math.nan


def patch_contextualisation(patches: Float[Array, "N P D"], cls: Float[Array, "N D"]) -> float:
    """Return the cosine of mean patch token and CLS token, mean over images (paper Eq. 6-7)."""
    mean = PatchContextualisationMean()
    # in pieces: tokens are stored in half precision and summed in double, four times the size
    for start in range(0, len(patches), IMAGES_AT_ONCE):
        piece = slice(start, start + IMAGES_AT_ONCE)
        mean.update(patches[piece], cls[piece])
    return mean.value()
