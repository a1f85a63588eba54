"""What a picture may look like while a network is trained from pixels, as QPM trains its ResNet.

Facts: get_data.py of the code published with Q-SENN, which QPM builds on. Each picture is shifted
by up to 4 pixels (what moves in is black), mirrored or not, changed in brightness, contrast and
saturation by up to a tenth, and given one operation of TrivialAugment (Mueller and Hutter 2021).
There the shift is a crop from a picture that is wider or higher than the square; a store holds
the square alone.
"""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import v2

SHIFT = 4  # pixels
JITTER = 0.1


def augmented(
    pictures: UInt8[Tensor, "B 3 side side"], rng: np.random.Generator
) -> UInt8[Tensor, "B 3 side side"]:
    """Return the pictures, each changed at random; torch's generators stay as they were."""
    change = v2.Compose(
        [
            v2.RandomCrop(pictures.shape[2], padding=SHIFT),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(JITTER, JITTER, JITTER),
            v2.TrivialAugmentWide(),
        ]
    )
    # torchvision draws from torch's own generator on the CPU, wherever the pictures are.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**62)))
        return torch.stack([change(picture) for picture in pictures])
