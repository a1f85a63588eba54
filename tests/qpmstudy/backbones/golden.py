"""Golden tokens: what the plain implementations gave, in float64, when they were written.

Both implementations are held against them, so that no change can move the two together.
`PYTHONPATH=tests:tests/qpmstudy/backbones:. python tests/qpmstudy/backbones/golden.py` writes them
anew.
"""

from pathlib import Path

import numpy as np
import torch
from plain_resnet import plain_stage
from plain_vit import plain_tokens
from torch import Tensor

from published import PUBLISHED, Vit, random_resnet, tiny_vit

FILE = Path(__file__).with_name("golden_tokens.npz")
SIDES = {"dino-vits16": 144, "dinov2-vits14": 224, "dinov2-vits14-reg": 224, "dinov3-vits16": 224}
"""Of the pictures: their grids are none of the stored ones, so that positions are resampled."""
FAMILIES = (*SIDES, "dino-vits8", "dinov2-vitg14", "dinov2-vitg14-reg", "resnet50")
KEPT = 5


def picture(name: str) -> Tensor:
    """Return the picture that a backbone is shown."""
    side = 96 if name == "resnet50" else SIDES.get(name, 112)
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(3))


def plain(name: str) -> tuple[Tensor, Tensor]:
    """Return patch tokens and the vector of the whole image, by the plain implementation."""
    if name == "resnet50":
        patches = plain_stage(random_resnet(), picture(name), 4).flatten(2).mT
        return patches, patches.mean(1)
    vit: Vit = tiny_vit(PUBLISHED[name])
    return plain_tokens(vit, vit.random(), picture(name))


def kept(patches: Tensor, cls: Tensor) -> Tensor:
    """Return what of one image is kept: a few tokens from the first to the last, and CLS."""
    chosen = torch.linspace(0, patches.shape[1] - 1, KEPT).round().long()
    return torch.cat([patches[0, chosen], cls])


if __name__ == "__main__":
    np.savez_compressed(FILE, **{name: kept(*plain(name)).numpy() for name in FAMILIES})
