"""Adapters: what the rest asks of the network between tokens and feature maps, and which there are.

B images, T tokens of each, P patches, D channels, F features.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from qpmstudy.config import AdapterConfig
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import ConfigError
from qpmstudy.fused import Buffers
from qpmstudy.registry import Registry


@dataclass(frozen=True)
class Shape(ABC):
    """What an adapter is built from, besides its weights."""

    kind: ClassVar[str]
    """What `ADAPTERS` calls the adapter."""

    @abstractmethod
    def build(self, generator: torch.Generator | None = None) -> "BaseAdapter":
        """Return such an adapter on the CPU, its weights drawn from `generator`.

        Without a generator they are those of seed 0: for a model about to be loaded.
        """

    def facts(self) -> dict[str, Any]:
        """Return the shape as facts that JSON can hold, for `read_shape`."""
        return {"kind": self.kind, **asdict(self)}


class BaseAdapter(nn.Module, ABC):
    """From tokens to feature maps F (B, P, F) and the feature vector f (B, F)."""

    shape_class: ClassVar[type[Shape]]
    large_batch: ClassVar[int] = 256
    """How many images it may get at once where no gradients are kept."""
    reads_cls: bool = False
    """Whether `forward` takes each image's CLS token behind its patches."""
    shape: Shape
    features: int

    @classmethod
    @abstractmethod
    def configured(
        cls, config: AdapterConfig, embeddings: Embeddings, generator: torch.Generator
    ) -> "BaseAdapter":
        """Return the adapter that a configuration asks for, before training, on the CPU.

        Raises:
            ConfigError: it cannot be built for these embeddings.
            DataError: it starts from published weights, and these are missing or damaged.
        """

    @abstractmethod
    def forward(
        self, tokens: Float[Tensor, "B T D"], buffers: Buffers | None = None
    ) -> tuple[Float[Tensor, "B P F"], Float[Tensor, "B F"]]:
        """Return the feature maps and the feature vector."""

    @abstractmethod
    def select(self, indices: Int[Tensor, " S"]) -> "BaseAdapter":
        """Return a copy that gives only the features `indices`, in that order.

        Raises:
            ConfigError: an index is repeated or none of the features.
        """

    def augmented(
        self, tokens: Float[Tensor, "B T D"], rng: np.random.Generator
    ) -> Float[Tensor, "B T D"]:
        """Return what a training step sees of a batch: here, the batch itself."""
        return tokens

    def check_indices(self, indices: Int[Tensor, " S"]) -> list[int]:
        """Return the indices as a list.

        Raises:
            ConfigError: they are none, repeated, or none of the features.
        """
        chosen: list[int] = indices.tolist()
        in_range = all(0 <= index < self.features for index in chosen)
        if not chosen or not in_range or len(set(chosen)) < len(chosen):
            raise ConfigError(
                f"{type(self).__name__}.select: needs distinct indices in 0..{self.features - 1}, "
                f"got {chosen}. "
                "Was the selection made for an adapter with another number of features?"
            )
        return chosen


# By name, because torchvision takes seconds to import and only one of them needs it.
ADAPTERS: Registry[type[BaseAdapter]] = Registry(
    "adapter", {"mlp": "qpmstudy.adapter:Adapter", "resnet50": "qpmstudy.resnet:ResNetAdapter"}
)


def read_shape(facts: Mapping[str, Any]) -> Shape:
    """Return the shape in facts; those without a kind are an MLP's.

    Raises:
        ConfigError: no adapter is of that kind.
    """
    values = dict(facts)
    return ADAPTERS.get(values.pop("kind", "mlp")).shape_class(**values)
