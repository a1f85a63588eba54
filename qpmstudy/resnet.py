"""ResNet-50 as an adapter: trained end to end, from pictures that lie in a store as tokens.

The network is torchvision's (He et al. 2016, stride in the 3 x 3 convolution) with the reduced
strides of QPM: the last two stages keep their resolution, so that a picture of 8 g pixels has
feature maps on a grid of g x g: just the grid of a store of `pixels`, on which its masks lie.

B images, P patches, F features; a store's patches have 192 values, 3 colours x 8 x 8 pixels.
"""

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50

from qpmstudy.adapters import BaseAdapter, Shape
from qpmstudy.augmentation import augmented
from qpmstudy.backbones.checkpoints import FOLDER, read_checkpoint
from qpmstudy.backbones.pixels import SIDES, patches_of, pictures_of
from qpmstudy.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from qpmstudy.config import RESNET_FEATURES, AdapterConfig
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.files import sha256
from qpmstudy.fused import Buffers

IMAGENET_FILE = "resnet50-0676ba61.pth"
"""The weights QPM starts from (torchvision: IMAGENET1K_V1). The digits begin its SHA-256."""
IMAGENET_SOURCE = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class ResNetShape(Shape):
    """How many of the network's 2048 channels are features."""

    kind: ClassVar[str] = "resnet50"
    features: int = RESNET_FEATURES

    def build(self, generator: torch.Generator | None = None) -> "ResNetAdapter":
        """Return such a network on the CPU, its weights drawn from `generator`."""
        return ResNetAdapter(self.features, generator)


class ResNetAdapter(BaseAdapter):
    """ResNet-50 from pixels to the maps of its last stage, of which `channels` are features."""

    shape_class = ResNetShape
    large_batch = 32  # a picture of 224 pixels takes 6 MB in the last stage's maps alone
    shape: ResNetShape
    channels: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self, features: int = RESNET_FEATURES, generator: torch.Generator | None = None
    ) -> None:
        """Build the network; its features are the first channels until `select` says otherwise.

        Raises:
            ConfigError: it does not have so many channels.
        """
        super().__init__()
        if not 1 <= features <= RESNET_FEATURES:
            raise ConfigError(
                f"ResNetAdapter: features must be in 1..{RESNET_FEATURES}, not {features}."
            )
        self.shape, self.features = ResNetShape(features), features
        self.network = _network(generator or torch.Generator().manual_seed(0))
        self.register_buffer("channels", torch.arange(features))
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            scaled = 255 * torch.tensor(values).view(3, 1, 1)
            self.register_buffer(name, scaled, persistent=False)

    @classmethod
    def configured(
        cls, config: AdapterConfig, embeddings: Embeddings, generator: torch.Generator
    ) -> "ResNetAdapter":
        """Return the network with the weights that the configuration names.

        Raises:
            ConfigError: the embeddings are no pixels.
            DataError: the weights of ImageNet are missing or not those published.
        """
        if embeddings.backbone not in SIDES:
            raise ConfigError(
                f"adapter.kind = resnet50 is trained from pixels, but {embeddings.dataset!r} was "
                f"embedded by {embeddings.backbone!r}: set embeddings.backbone to one of "
                f"{', '.join(SIDES)}."
            )
        adapter = cls(generator=generator)
        if config.weights == "imagenet":
            load_imagenet(adapter.network)
        return adapter

    def forward(
        self, tokens: Float[Tensor, "B P D"], buffers: Buffers | None = None
    ) -> tuple[Float[Tensor, "B P F"], Float[Tensor, "B F"]]:
        """Return the feature maps, row-major over the tokens' grid, and their mean.

        Raises:
            ConfigError: the tokens are no patches of a square picture.
        """
        x = (pictures_of(tokens) - self.mean) / self.std
        # The layout in which a convolution is fastest, and in which maps need not be turned.
        x = x.contiguous(memory_format=torch.channels_last)
        network = self.network
        x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
        maps = x.permute(0, 2, 3, 1).flatten(1, 2).index_select(2, self.channels)
        return maps, maps.mean(1)

    def augmented(
        self, tokens: Float[Tensor, "B P 192"], rng: np.random.Generator
    ) -> Float[Tensor, "B P 192"]:
        """Return the pictures changed at random, as a training step sees them."""
        pictures = pictures_of(tokens).to(torch.uint8)
        return patches_of(augmented(pictures, rng)).to(tokens.dtype)

    def select(self, indices: Int[Tensor, " S"]) -> "ResNetAdapter":
        """Return a copy of the network whose features are those at `indices`, in that order.

        Raises:
            ConfigError: an index is repeated or none of the features.
        """
        chosen = self.check_indices(indices)
        selected = copy.deepcopy(self)
        selected.channels = self.channels[indices.to(self.channels.device)]
        selected.shape, selected.features = replace(self.shape, features=len(chosen)), len(chosen)
        return selected


def _network(generator: torch.Generator) -> ResNet:
    """Return a ResNet-50 of reduced strides without its classifier, drawn from `generator`."""
    with torch.device("meta"):  # the constructor draws from torch's global generator
        network = resnet50()
    network.avgpool = network.fc = nn.Identity()
    for stage in (network.layer3, network.layer4):
        stage[0].conv2.stride = stage[0].downsample[0].stride = (1, 1)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    network.to(memory_format=torch.channels_last)
    assert isinstance(network, ResNet)
    return network


def load_imagenet(network: ResNet) -> None:
    """Give the network torchvision's weights of ImageNet, from the folder of weights.

    Only the one file that is published is accepted, so that the word "imagenet" in a
    configuration decides the weights, and the key of a stage needs no hash of them.

    Raises:
        DataError: the file is missing, or is not the published one.
    """
    folder = os.environ.get(FOLDER)
    path = Path(folder or "", IMAGENET_FILE)
    if not folder or not path.is_file():
        where = f"there is no {IMAGENET_FILE} in {folder}" if folder else f"{FOLDER} is not set"
        raise DataError(
            f"adapter.weights = imagenet, but {where}. Get {IMAGENET_SOURCE}{IMAGENET_FILE}, put "
            f"it into a folder and set {FOLDER} to that folder on every node; or train from "
            "adapter.weights: random."
        )
    digest = sha256(path)
    begins = IMAGENET_FILE.removesuffix(".pth").rpartition("-")[2]
    if not digest.startswith(begins):
        raise DataError(
            f"{path} is not the published file: its SHA-256 begins with {digest[:8]} instead of "
            f"{begins}. Get it again from {IMAGENET_SOURCE}."
        )
    weights = read_checkpoint(path)
    weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} holds no weights of a ResNet-50: {reason}") from error
