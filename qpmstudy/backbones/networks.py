"""Pretrained networks: built, and asked for tokens.

Sources: DINO (Caron et al. 2021), DINOv2 (Oquab et al. 2024), registers (Darcet et al. 2024),
DINOv3 (Simeoni et al. 2025), ResNet (He et al. 2016). The architectures are timm's and
torchvision's; filling.py puts the weights in, and right what timm does otherwise.

Symbols: B images, P patches, D channels.
"""

from typing import Any, TypeAlias

import timm
import torch
from jaxtyping import Float
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50
from torchvision.ops.misc import FrozenBatchNorm2d

from qpmstudy.backbones.catalogue import SIDE, Entry

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
