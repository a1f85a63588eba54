"""The adapter h: the small network between frozen tokens and interpretable feature maps.

B images, P patches, T tokens of an image, D backbone channels, F features. Paper: F is N_f, and
the maps are F^d. The maps are always those of the patches; the feature vector f is, by input:

    patches   h(patch), pooled over the patches
    cls       h(CLS); patches and CLS pass the same adapter (paper Table 3)
    both      the mean of the two above
    concat    h([patch, CLS]), pooled: every patch has the image's CLS appended, 2 D channels

Pooling is the mean ("avg") or the largest value ("max"). The names of the reference's code are
avg_pooling, normal, mean_avg_pooling and concat; its max_pooling takes the mean, but for concat.
"""

import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import ClassVar, cast, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from qpmstudy.adapters import BaseAdapter, Shape
from qpmstudy.config import AdapterConfig, InputName, PoolingName
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import ConfigError
from qpmstudy.fused import Buffers, fused_layers


def seeded_linear(in_dim: int, out_dim: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer with torch's usual initialisation, drawn from `generator` alone."""
    # On the meta device, because the constructor draws from torch's global generator.
    linear = nn.Linear(in_dim, out_dim, device="meta").to_empty(device="cpu")
    bound = 1 / math.sqrt(in_dim)
    nn.init.uniform_(linear.weight, -bound, bound, generator)
    nn.init.uniform_(linear.bias, -bound, bound, generator)
    return linear


class Layer(nn.Module):
    """Linear, batch normalisation over every token of the batch, ReLU."""

    def __init__(self, in_dim: int, out_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = seeded_linear(in_dim, out_dim, generator)
        self.norm = nn.BatchNorm1d(out_dim)

    def forward(self, tokens: Float[Tensor, "T D"]) -> Float[Tensor, "T F"]:
        """Return the activations of T tokens."""
        # In place: neither backward pass needs the value before the ReLU.
        return functional.relu(self.norm(self.linear(tokens)), inplace=True)


@dataclass(frozen=True)
class AdapterShape(Shape):
    """What an adapter is built from, besides its weights. Without layers F is D (concat: 2 D)."""

    kind: ClassVar[str] = "mlp"
    in_dim: int
    hidden: int
    features: int
    depth: int
    input: str = "patches"
    pooling: str = "avg"
    cls_statistics: bool = False
    """Whether CLS passes along, and so counts in batch norm, where only patches are read."""

    @property
    def token_dim(self) -> int:
        """Return the channels of what the first layer gets, and that F is without layers."""
        return self.in_dim * (2 if self.input == "concat" else 1)

    def build(self, generator: torch.Generator | None = None) -> "Adapter":
        """Return such an adapter on the CPU, its weights drawn from `generator`."""
        return Adapter(**asdict(self), generator=generator)


class Adapter(BaseAdapter):
    """MLP on every token; its last activations are the feature maps (paper section 3).

    Tokens of all images are one (B * T, D) matrix: torch's batch normalisation of that layout
    took 0.9 ms (B=16, P=256, D=64; forward and backward, one core), 2.7 ms as (B, D, P).
    """

    shape_class = AdapterShape
    shape: AdapterShape

    def __init__(
        self,
        in_dim: int,
        hidden: int,
        features: int,
        depth: int,
        generator: torch.Generator | None = None,
        input: str = "patches",
        pooling: str = "avg",
        cls_statistics: bool = False,
    ) -> None:
        """Build `depth` layers in_dim -> hidden -> ... -> features on the CPU.

        Without a generator the weights are those of seed 0: for a model about to be loaded.

        Raises:
            ConfigError: no such adapter can be built.
        """
        super().__init__()
        self.shape = AdapterShape(in_dim, hidden, features, depth, input, pooling, cls_statistics)
        _check(self.shape)
        generator = generator or torch.Generator().manual_seed(0)
        widths = [self.shape.token_dim, *[hidden] * (depth - 1), features]
        self.layers = nn.ModuleList(
            Layer(inputs, outputs, generator) for inputs, outputs in pairwise(widths[: depth + 1])
        )
        self.features = features
        self.reads_cls = input != "patches" or cls_statistics

    @classmethod
    def configured(
        cls, config: AdapterConfig, embeddings: Embeddings, generator: torch.Generator
    ) -> "Adapter":
        """Return the adapter configured, for the embeddings' tokens; without layers F is theirs."""
        sizes = (embeddings.dim, config.hidden, config.features, config.depth)
        shape = AdapterShape(*sizes, config.input, config.pooling, config.cls_statistics)
        if not shape.depth:
            shape = replace(shape, features=shape.token_dim)
        return cls(**asdict(shape), generator=generator)

    def normalised(self, tokens: int) -> int:
        """Return how many of an image's `tokens` pass the layers and count in batch norm."""
        return tokens - (self.shape.input == "concat")

    def forward(
        self, tokens: Float[Tensor, "B T D"], buffers: Buffers | None = None
    ) -> tuple[Float[Tensor, "B P F"], Float[Tensor, "B F"]]:
        """Return the feature maps F and the feature vector f.

        With `buffers`, which a training loop on a CPU brings along, layers in training mode run
        fused: the same numbers up to rounding, in less time.
        """
        if self.shape.input == "concat":
            patches, cls = tokens[:, :-1], tokens[:, -1:]
            tokens = torch.cat([patches, cls.expand_as(patches)], dim=2)
        activations = self._layers(tokens, buffers)
        if not self.reads_cls or self.shape.input == "concat":
            return activations, self._pooled(activations)
        maps, cls = activations[:, :-1], activations[:, -1]
        if self.shape.input == "cls":
            return maps, cls
        pooled = self._pooled(maps)
        return maps, pooled if self.shape.input == "patches" else (pooled + cls) / 2

    def _layers(
        self, tokens: Float[Tensor, "B T D"], buffers: Buffers | None
    ) -> Float[Tensor, "B T F"]:
        if not self.layers:
            return tokens
        flat = tokens.flatten(0, 1)
        if buffers is not None and self.training:
            layers = (cast(Layer, layer) for layer in self.layers)
            flat = fused_layers(flat, [(layer.linear, layer.norm) for layer in layers], buffers)
        else:
            for layer in self.layers:
                flat = layer(flat)
        return flat.view(tokens.shape[0], tokens.shape[1], self.features)

    def _pooled(self, maps: Float[Tensor, "B P F"]) -> Float[Tensor, "B F"]:
        return maps.amax(1) if self.shape.pooling == "max" else maps.mean(1)

    def select(self, indices: Int[Tensor, " S"]) -> "Adapter":
        """Return a copy whose last layer computes only the features `indices`, in that order.

        Raises:
            ConfigError: there is no layer, or an index is repeated or none of the features.
        """
        if not self.layers:
            raise ConfigError(
                "Adapter.select: the features of an adapter of depth 0 are the backbone's own "
                "channels, and no layer computes fewer. Use a depth of at least 1."
            )
        chosen = self.check_indices(indices)
        last = f"layers.{self.shape.depth - 1}."
        state = {
            name: value[indices] if name.startswith(last) and value.ndim else value
            for name, value in self.state_dict().items()
        }
        copy = type(self)(**asdict(replace(self.shape, features=len(chosen))))
        copy.to(next(self.parameters())).load_state_dict(state)
        return copy.train(self.training)


def _check(shape: AdapterShape) -> None:
    sizes = (shape.in_dim, shape.hidden, shape.features)
    if min(sizes) < 1 or shape.depth < 0:
        raise ConfigError(
            f"Adapter: in_dim, hidden and features must be at least 1, not {sizes[0]}, {sizes[1]} "
            f"and {sizes[2]}, and depth at least 0, not {shape.depth}."
        )
    if shape.input not in get_args(InputName) or shape.pooling not in get_args(PoolingName):
        raise ConfigError(
            f"Adapter: there is no input {shape.input!r} with pooling {shape.pooling!r}; inputs "
            f"are {', '.join(get_args(InputName))}, poolings {', '.join(get_args(PoolingName))}."
        )
    if shape.depth == 0 and shape.features != shape.token_dim:
        raise ConfigError(
            f"Adapter: without layers the features are the {shape.token_dim} channels of the "
            f"tokens, so features cannot be {shape.features}."
        )
