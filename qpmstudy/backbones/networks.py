"""Pretrained networks: built, filled with published weights, asked for tokens.

Sources: DINO (Caron et al. 2021), DINOv2 (Oquab et al. 2024), registers (Darcet et al. 2024),
DINOv3 (Simeoni et al. 2025), ResNet (He et al. 2016). The architectures are timm's and
torchvision's. What timm does otherwise than the authors is put right here: how positions are
resampled, DINOv3's frequencies (stored ones, rounded to bfloat16) and its masked bias of keys.

Symbols: B images, P patches, D channels, N stored positions on a square.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import timm
import torch
from jaxtyping import Float
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet, resnet50
from torchvision.ops.misc import FrozenBatchNorm2d

from qpmstudy.backbones.catalogue import SIDE, Entry, Layout
from qpmstudy.backbones.checkpoints import listed
from qpmstudy.errors import DataError

Network: TypeAlias = VisionTransformer | Eva | ResNet


def build(entry: Entry, side: int = SIDE) -> Network:
    """Return the network of `entry` for squares of `side` pixels, its tensors not there (meta).

    In evaluation mode. No weight is drawn, which would take long for the large ones and touch
    torch's generator.
    """
    with torch.device("meta"):
        if entry.architecture == "resnet50":
            network = resnet50(norm_layer=FrozenBatchNorm2d)
            network.avgpool = network.fc = nn.Identity()
        else:
            network = timm.create_model(
                entry.architecture, img_size=side, num_classes=0, **entry.size
            )
    network.eval()
    assert isinstance(network, Network)
    return network


def tokens_of(
    network: Network, images: Float[Tensor, "B 3 H W"], layer: int, norm: bool = True
) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B D"]]:
    """Return the patch tokens of a layer, row-major, and the vector of the whole image.

    Transformers: patch and class tokens behind block `layer` (from 1) and, with `norm`, the
    final layer norm; registers left out. ResNet: the map of stage `layer` and its mean.
    """
    if isinstance(network, ResNet):
        x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4)[:layer]:
            x = stage(x)
        patches = x.flatten(2).mT
        return patches, patches.mean(dim=1)
    found: Any = network.forward_intermediates(
        images,
        indices=[layer - 1],
        return_prefix_tokens=True,
        norm=norm,
        stop_early=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    ((patches, others),) = found
    return patches, others[:, 0]


def fill(network: nn.Module, weights: Mapping[str, Tensor], layout: Layout, path: Path) -> None:
    """Give a network that was built the weights that were read from `path`, as float32.

    Raises:
        DataError: a tensor is missing, has another shape, or is not of this network.
    """
    own = dict(network.named_parameters()) | dict(network.named_buffers())
    sources = {name: layout.published(name) for name in own}
    needed = set(sources.values())
    needed |= {f"{sources[name]}_mask" for name in own if name.endswith(".k_bias")}
    missing = sorted(needed - weights.keys())
    extra = [name for name in weights.keys() - needed if not name.endswith(layout.unused)]
    if missing or extra:
        raise DataError(
            f"{path} is not the checkpoint of this network: "
            f"missing are {listed(missing) or 'none'}; foreign are {listed(extra) or 'none'}. "
            "Take the published file of exactly this backbone."
        )
    weights = {name: tensor.float() for name, tensor in weights.items()}
    for name, place in own.items():
        value = _value(name, sources[name], weights, layout, place)
        if value.shape != place.shape:
            raise DataError(
                f"{path} is not the checkpoint of this network: {sources[name]!r} gives "
                f"{tuple(value.shape)}, but {tuple(place.shape)} is needed. "
                "Take the published file of exactly this backbone."
            )
        module, _, leaf = name.rpartition(".")
        if isinstance(place, nn.Parameter):
            value = nn.Parameter(value.contiguous(), requires_grad=False)
        setattr(network.get_submodule(module), leaf, value)


def _value(
    name: str, source: str, weights: Mapping[str, Tensor], layout: Layout, place: Tensor
) -> Tensor:
    """Return what belongs in `place`, called `name` here and `source` in the checkpoint."""
    value = weights[source]
    leaf = name.rpartition(".")[2]
    if leaf in ("q_bias", "k_bias", "v_bias"):
        return (value * weights[f"{source}_mask"]).chunk(3)["qkv".index(leaf[0])]
    if name == "cls_token" and layout.registers:
        return value + weights["pos_embed"][:, :1]
    if name == "pos_embed":
        resampled = resampled_positions(value[:, 1:], place.shape[1], layout.registers)
        return resampled if layout.registers else torch.cat([value[:, :1], resampled], dim=1)
    return value


def resampled_positions(
    positions: Float[Tensor, "1 N D"], places: int, antialias: bool
) -> Float[Tensor, "1 P D"]:
    """Return stored positions for the square grid that has at most `places` places.

    Bicubic, as each model's authors do it: with antialiasing to exactly the size (DINOv2 with
    registers), or without, by a scale that is a tenth of a patch too large (the others).
    """
    old, new = math.isqrt(positions.shape[1]), math.isqrt(places)
    if old == new or old * old != positions.shape[1]:  # no square: `fill` names the shape
        return positions
    square = positions.unflatten(1, (old, old)).permute(0, 3, 1, 2)
    if antialias:
        square = functional.interpolate(square, size=(new, new), mode="bicubic", antialias=True)
    else:
        scale = (new + 0.1) / old
        square = functional.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
    return square.permute(0, 2, 3, 1).flatten(1, 2)
