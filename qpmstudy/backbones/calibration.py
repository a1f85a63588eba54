"""How the constants of the patch descriptor were found.

They come from unlabelled images of birds with random attributes: no class of any dataset, and
none of its images, has a part in them.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from qpmstudy.backbones.context import contextualised, saliency
from qpmstudy.backbones.patch_descriptor import DIM, standardised
from qpmstudy.backbones.statistics import patch_statistics
from qpmstudy.datasets.birds.attributes import random_code
from qpmstudy.datasets.birds.backgrounds import BACKGROUNDS
from qpmstudy.datasets.birds.render import render
from qpmstudy.files import write_bytes

IMAGES = 96
SEED = 20_240_229  # apart from every dataset's, whose generators have four numbers


def calibrate(path: Path) -> None:
    """Find the constants of the patch descriptor and write them to `path` (safetensors).

    The same to rounding on every machine whose Pillow draws the same polygons. The arrays are
    the mean and standard deviation of every statistic, and an affine map: PCA to D dimensions
    with half whitening (each divided by the fourth root of its variance, so that strong
    directions stay stronger), a fixed random rotation, and mean variance 1.
    """
    statistics = torch.stack([patch_statistics(_image(index)) for index in range(IMAGES)])
    flat = statistics.flatten(0, 1).double()
    constants: dict[str, Tensor] = {
        "statistic_mean": flat.mean(dim=0).float(),
        "statistic_scale": flat.std(dim=0).float(),
    }
    tokens = []
    for image_statistics in statistics:
        z = standardised(image_statistics, constants)
        tokens.append(contextualised(z, saliency(z)))
    x = torch.cat(tokens).double()
    mean = x.mean(dim=0)
    variances, directions = torch.linalg.eigh(torch.cov(x.T))
    variances, directions = variances[-DIM:], directions[:, -DIM:]
    # An eigenvector's sign is arbitrary: its largest entry is made positive.
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    projection = directions * largest.sign() * variances**-0.25 @ _rotation()
    projection /= variances.sqrt().mean().sqrt()
    constants["projection"] = projection.float().contiguous()
    constants["offset"] = (-mean @ projection).float()
    write_bytes(path, save(constants))


def _image(index: int) -> Tensor:
    """Return one calibration image (3 x 224 x 224), attributes and background at random."""
    generator = np.random.default_rng([SEED, index])
    code = random_code(generator)
    background = str(generator.choice(list(BACKGROUNDS)))
    picture = render(code, background, 0.0, generator).image
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def _rotation() -> Tensor:
    """Return a fixed random rotation (D x D), so that no channel is a principal axis."""
    gaussian = np.random.default_rng(SEED).standard_normal((DIM, DIM))
    q, r = np.linalg.qr(gaussian)
    return torch.from_numpy(q * np.sign(np.diag(r)))
