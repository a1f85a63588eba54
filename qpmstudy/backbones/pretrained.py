"""Pretrained backbones behind the interface that all backbones have."""

import math
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.catalogue import Entry
from qpmstudy.backbones.checkpoints import find_weights, read_checkpoint, weight_hash
from qpmstudy.backbones.filling import fill
from qpmstudy.backbones.networks import build, tokens_of
from qpmstudy.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD, preprocessing_of
from qpmstudy.backbones.variants import Variant, parse, spelled

VERSION = 1
"""Part of every weight hash: raise it when the same weights give other tokens."""


class Pretrained(Backbone):
    """A published network with its published weights, on the GPU if there is one.

    Weights are float32. `precision` "bfloat16" rounds the operands of matrix products to it,
    but norms and sums stay in float32 (torch's autocast).
    """

    def __init__(
        self, entry: Entry, weights: Path | None = None, variant: Variant | None = None
    ) -> None:
        """Load the checkpoint at `weights`, or the one in the folder of weights.

        Raises:
            DataError: it is missing, damaged, or another network's.
        """
        path = weights or find_weights(entry)
        checkpoint = read_checkpoint(path)
        self._variant = variant = variant or Variant(entry.layers)
        network = build(entry, variant.size)
        blank = torch.empty(1, 3, variant.size, variant.size, device="meta")
        patches, cls = tokens_of(network, blank, variant.layer, variant.norm)
        named = fill(network, checkpoint, entry.layout, path)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self._mean = torch.tensor(IMAGENET_MEAN, device=self._device)[:, None, None]
        self._std = torch.tensor(IMAGENET_STD, device=self._device)[:, None, None]
        self.name = spelled(entry, variant)
        self.dim = cls.shape[1]
        side = math.isqrt(patches.shape[1])
        self.grid = (side, side)
        self.preprocessing = preprocessing_of(
            variant.size, "bicubic", [*IMAGENET_MEAN], [*IMAGENET_STD]
        )
        facts = (VERSION, self.preprocessing, variant.layer, variant.norm, variant.precision)
        self.weight_hash = weight_hash(named, *facts)

    def normalised(self, pixels: UInt8[Tensor, "B 3 side side"]) -> Float[Tensor, "B 3 side side"]:
        """Return the pixels in ImageNet's units, on the device of the network."""
        return (pixels.to(self._device) / 255 - self._mean) / self._std

    @torch.no_grad()  # and not inference_mode: its tensors cannot be trained on
    def embed(
        self, images: Float[Tensor, "B 3 side side"]
    ) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B D"]]:
        """Return the tokens, row-major, and the class token (ResNet: the mean of the map).

        An image's tokens depend on its batch by no more than the rounding of `precision`, which
        for float32 is far below that of the half precision they are stored in.
        """
        chosen = self._variant
        rounded = chosen.precision == "bfloat16"
        # cuDNN would round the inputs of convolutions to 10 bits and choose methods by timing.
        with (
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
            torch.autocast(self._device.type, torch.bfloat16, enabled=rounded),
        ):
            patches, cls = tokens_of(
                self._network, images.to(self._device), chosen.layer, chosen.norm
            )
        return patches.float().cpu(), cls.float().cpu()


def open_pretrained(name: str, weights: Path | None) -> Pretrained:
    """Return the backbone that `name` means.

    Raises:
        ConfigError: its options are not possible.
        DataError: its weights are missing, damaged or another backbone's.
    """
    entry, variant = parse(name)
    return Pretrained(entry, weights, variant)
