"""Patch Contextualisation: how much of the whole image is in a backbone's patches."""

from jaxtyping import Float
from torch.nn.functional import cosine_similarity

from qpmstudy.metrics.arrays import Array, as_tensor

IMAGES_AT_ONCE = 64


def patch_contextualisation(patches: Float[Array, "N P D"], cls: Float[Array, "N D"]) -> float:
    """Return the cosine of mean patch token and CLS token, mean over images (paper Eq. 6-7)."""
    total = 0.0
    # in pieces: tokens are stored in half precision and summed in double, four times the size
    for start in range(0, len(patches), IMAGES_AT_ONCE):
        piece = slice(start, start + IMAGES_AT_ONCE)
        mean_patch = as_tensor(patches[piece]).double().mean(1)
        total += float(cosine_similarity(mean_patch, as_tensor(cls[piece]).double()).sum())
    return total / len(patches)
