"""Pretrained backbones behind the interface that all backbones have."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.catalogue import CATALOGUE, SIDE, Entry
from qpmstudy.backbones.checkpoints import find_weights, read_checkpoint, weight_hash
from qpmstudy.backbones.networks import build, fill, tokens_of
from qpmstudy.backbones.preprocessing import preprocessing_of, seen_pixels

VERSION = 1
"""Part of every weight hash: raise it when the same weights give other tokens."""

# Of ImageNet, with which all of these networks were trained.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Pretrained(Backbone):
    """A published network with its published weights, in float32, on the GPU if there is one."""

    def __init__(self, entry: Entry, weights: Path | None = None) -> None:
        """Load the checkpoint at `weights`, or the one in the folder of weights.

        Raises:
            DataError: it is missing, damaged, or another network's.
        """
        path = weights or find_weights(entry)
        checkpoint = read_checkpoint(path)
        network = build(entry)
        patches, cls = tokens_of(network, torch.empty(1, 3, SIDE, SIDE, device="meta"))
        fill(network, checkpoint, entry.layout, path)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self._mean = torch.tensor(MEAN)[:, None, None]
        self._std = torch.tensor(STD)[:, None, None]
        self.name = entry.name
        self.dim = cls.shape[1]
        side = math.isqrt(patches.shape[1])
        self.grid = (side, side)
        self.preprocessing = preprocessing_of(SIDE, "bicubic", MEAN, STD)
        self.weight_hash = weight_hash(checkpoint, VERSION, self.preprocessing)

    def preprocess(self, image: Image.Image) -> Float[Tensor, "3 224 224"]:
        """Return the centred square of a picture of any size and mode, in ImageNet's units."""
        return (seen_pixels(image, self.preprocessing) / 255 - self._mean) / self._std

    @torch.no_grad()  # and not inference_mode: its tensors cannot be trained on
    def embed(
        self, images: Float[Tensor, "B 3 224 224"]
    ) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B D"]]:
        """Return the tokens, row-major, and the class token (ResNet: the mean of the map).

        An image's tokens depend on its batch by no more than float32's rounding, which is far
        below that of the half precision they are stored in.
        """
        # cuDNN would round the inputs of convolutions to 10 bits and choose methods by timing.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            patches, cls = tokens_of(self._network, images.to(self._device))
        return patches.cpu(), cls.cpu()


def open_pretrained(name: str, weights: Path | None) -> Pretrained:
    """Return the backbone called `name` in the catalogue."""
    return Pretrained(CATALOGUE[name], weights)
