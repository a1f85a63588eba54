"""Patch descriptor, first step: 93 statistics of the pixels of every 14 x 14 patch.

Symbols: P = 16 x 16 patches of one 224 x 224 image, S = 93 statistics. Images are done one at a
time: a batched product may round differently with the size of its batch.
"""

import colorsys
import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

PATCH = 14
SIDE = 16
STATISTICS = 93
ORIENTATIONS = 8

# Greys, and six hues as vivid, dark and pale, with brown: names for colours, none for birds.
_HSV = [(0.0, 0.0, value) for value in (0.05, 0.3, 0.5, 0.75, 0.98)]
_HSV += [
    (hue / 360, saturation, value)
    for hue in (0, 30, 55, 110, 215, 300)
    for saturation, value in ((0.85, 0.85), (0.6, 0.45), (0.35, 0.8))
]
_HSV += [(28 / 360, 0.6, 0.5)]
COLOURS = torch.tensor([colorsys.hsv_to_rgb(*hsv) for hsv in _HSV])
COLOUR_WIDTH = 0.12  # distance in RGB (0 to 1) over which a pixel's share of a colour falls


def _dct_basis(size: int) -> Float[Tensor, "pixels {size*size}"]:
    """Return the first size x size functions of the orthonormal DCT-II on a patch."""
    place = torch.arange(PATCH) + 0.5
    waves = torch.cos(math.pi / PATCH * place[:, None] * torch.arange(size)) * (2 / PATCH) ** 0.5
    waves[:, 0] /= 2**0.5
    return torch.einsum("yu,xv->yxuv", waves, waves).reshape(PATCH * PATCH, size * size)


# Without the constant: 15 functions for brightness and 3 for each colour plane.
_LUMA_DCT = _dct_basis(4)[:, 1:].contiguous()
_CHROMA_DCT = _dct_basis(2)[:, 1:].contiguous()


def patch_statistics(image: Float[Tensor, "3 224 224"]) -> Float[Tensor, "P 93"]:
    """Return the statistics of every patch of an RGB image with values in 0 to 1.

    In this order, for the planes (r+g+b)/3, (r-g)/2 and (r+g-2b)/4: mean, standard deviation and
    cube root of the third central moment (9); histogram and energy of gradient orientations at
    full and half resolution (18); low DCT coefficients and their sizes (42); occupancy of 24
    colours (24).
    """
    red, green, blue = image
    planes = torch.stack(
        [(red + green + blue) / 3, (red - green) / 2, (red + green - 2 * blue) / 4]
    )
    patches = _cells(planes, PATCH)
    half = functional.avg_pool2d(image, 2)
    luma = planes[0]
    half_luma = half.mean(dim=0)
    return torch.cat(
        [
            _moments(patches),
            _gradients(luma, PATCH),
            _gradients(half_luma, PATCH // 2),
            _frequencies(patches),
            _colour_shares(half),
        ],
        dim=1,
    )


def _cells(planes: Float[Tensor, "c h w"], size: int) -> Float[Tensor, "c P pixels"]:
    """Return the pixels of every size x size cell."""
    cells = planes.reshape(len(planes), SIDE, size, SIDE, size).transpose(2, 3)
    return cells.reshape(len(planes), SIDE * SIDE, size * size)


def _moments(patches: Float[Tensor, "3 P pixels"]) -> Float[Tensor, "P 9"]:
    """Return mean, standard deviation and cube root of the third central moment."""
    mean = patches.mean(dim=2, keepdim=True)
    centred = patches - mean
    square = centred * centred
    third = (square * centred).mean(dim=2)
    skew = third.sign() * third.abs() ** (1 / 3)
    return torch.cat([mean.squeeze(2), square.mean(dim=2).sqrt(), skew]).T


def _gradients(luma: Float[Tensor, "h w"], size: int) -> Float[Tensor, "P 9"]:
    """Return the unsigned orientation histogram of every cell, and the root of its sum."""
    padded = functional.pad(luma[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    strength = torch.sqrt(across * across + down * down)
    place = torch.atan2(down, across) * (ORIENTATIONS / math.pi)
    bins = torch.arange(ORIENTATIONS)[:, None, None]
    # Each gradient is shared by its two nearest orientations; half a turn is the same edge.
    distance = torch.remainder(place - bins + ORIENTATIONS / 2, ORIENTATIONS) - ORIENTATIONS / 2
    shares = torch.relu(1 - distance.abs()) * strength
    histogram = _cells(shares, size).mean(dim=2).T
    total = histogram.sum(dim=1, keepdim=True)
    return torch.cat([histogram / (total + 1e-3), total.sqrt()], dim=1)


def _frequencies(patches: Float[Tensor, "3 P pixels"]) -> Float[Tensor, "P 42"]:
    """Return the low DCT coefficients of the three planes, then their absolute values."""
    waves = torch.cat([patches[0] @ _LUMA_DCT, *(plane @ _CHROMA_DCT for plane in patches[1:])], 1)
    return torch.cat([waves, waves.abs()], dim=1)


def _colour_shares(image: Float[Tensor, "3 h w"]) -> Float[Tensor, "P 24"]:
    """Return the root of the share of every colour in every cell, pixels sharing softly."""
    # |x - c|^2 without |x|^2, which the softmax cancels.
    closeness = (COLOURS @ image.flatten(1)) * 2 - (COLOURS * COLOURS).sum(dim=1, keepdim=True)
    shares = torch.softmax(closeness / (2 * COLOUR_WIDTH**2), dim=0)
    return _cells(shares.reshape(-1, *image.shape[1:]), PATCH // 2).mean(dim=2).sqrt().T
