"""Patch descriptor, second step: what a token knows of its surroundings.

A transformer's tokens mix with their neighbours and with the whole image. Here both are linear
and fixed, and how much of the whole image reaches a token is one number, CONTEXT.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from qpmstudy.backbones.statistics import SIDE

# Weight of the image's mean in every token. At 0.15 a token says little about where the bird
# is (Plausibility saturates), at 0.4 maps spread over the background whatever the losses ask.
CONTEXT = 0.25


def _smoothing(width: float) -> Float[Tensor, "P P"]:
    """Return G, the Gaussian average over neighbours `width` patches away; rows sum to 1."""
    place = torch.arange(SIDE, dtype=torch.float32)
    line = torch.exp(-((place[:, None] - place) ** 2) / (2 * width**2))
    line /= line.sum(dim=1, keepdim=True)
    return torch.kron(line, line)


_NEAR, _FAR = _smoothing(0.8), _smoothing(2.0)
_PLACE = torch.arange(SIDE) - (SIDE - 1) / 2
_RADIUS_SQUARED = (_PLACE[:, None] ** 2 + _PLACE**2).flatten()
_BORDER = (_PLACE.abs()[:, None].maximum(_PLACE.abs()) == _PLACE.max()).flatten()


def saliency(z: Float[Tensor, "P S"]) -> Float[Tensor, " P"]:
    """Return the weight of every token in the image's mean; they sum to 1.

    High where a patch differs from those at the image's border, with a prior for the centre.
    """
    border = z[_BORDER]
    spread = border.std(dim=0).clamp_min(0.25)
    distance = (((z - border.mean(dim=0)) / spread) ** 2).mean(dim=1).sqrt()
    score = (distance - distance.mean()) / distance.std().clamp_min(1e-6)
    return torch.softmax(1.5 * score - _RADIUS_SQUARED / 72, dim=0)


def contextualised(z: Float[Tensor, "P S"], weights: Float[Tensor, " P"]) -> Float[Tensor, "P 5*S"]:
    """Return every patch's statistics with its neighbours', their contrast and the image's mean."""
    near, far = _NEAR @ z, _FAR @ z
    whole = (CONTEXT * (weights @ z)).expand_as(z)
    return torch.cat([z, 0.8 * near, 0.8 * near - far, 0.7 * far, whole], dim=1)
