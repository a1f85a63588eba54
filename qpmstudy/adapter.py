"""The adapter: the small network between frozen patch tokens and interpretable feature maps.

B images, P patches, D backbone channels, F features. Paper: F is N_f, and the maps are F^d.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

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


class Adapter(nn.Module):
    """MLP on every patch token; its last activations are the feature maps (paper section 3).

    Tokens of all images are one (B * P, D) matrix: torch's batch normalisation of that layout
    took 0.9 ms (B=16, P=256, D=64; forward and backward, one core), 2.7 ms as (B, D, P).
    """

    def __init__(
        self,
        in_dim: int,
        hidden: int,
        features: int,
        depth: int,
        generator: torch.Generator | None = None,
    ) -> None:
        """Build `depth` layers in_dim -> hidden -> ... -> features on the CPU.

        Without a generator the weights are those of seed 0: for a model about to be loaded.
        """
        super().__init__()
        if min(in_dim, hidden, features, depth) < 1:
            raise ConfigError(
                f"Adapter: in_dim, hidden, features and depth must be at least 1, not "
                f"{in_dim}, {hidden}, {features} and {depth}."
            )
        generator = generator or torch.Generator().manual_seed(0)
        widths = [in_dim, *[hidden] * (depth - 1), features]
        self.layers = nn.ModuleList(
            Layer(inputs, outputs, generator) for inputs, outputs in pairwise(widths)
        )
        self.in_dim, self.hidden, self.features, self.depth = in_dim, hidden, features, depth

    def forward(
        self, tokens: Float[Tensor, "B P D"], buffers: Buffers | None = None
    ) -> tuple[Float[Tensor, "B P F"], Float[Tensor, "B F"]]:
        """Return the feature maps F and the feature vector f, their mean over the patches.

        With `buffers`, which a training loop on a CPU brings along, layers in training mode run
        fused: the same numbers up to rounding, in less time.
        """
        flat = tokens.flatten(0, 1)
        if buffers is not None and self.training:
            layers = (cast(Layer, layer) for layer in self.layers)
            flat = fused_layers(flat, [(layer.linear, layer.norm) for layer in layers], buffers)
        else:
            for layer in self.layers:
                flat = layer(flat)
        feature_maps = flat.view(tokens.shape[0], tokens.shape[1], self.features)
        return feature_maps, feature_maps.mean(1)

    def select(self, indices: Int[Tensor, " S"]) -> "Adapter":
        """Return a copy whose last layer computes only the features `indices`, in that order.

        Raises:
            ConfigError: an index is repeated or is not one of the adapter's features.
        """
        chosen = indices.tolist()
        in_range = all(0 <= index < self.features for index in chosen)
        if not chosen or not in_range or len(set(chosen)) < len(chosen):
            raise ConfigError(
                f"Adapter.select: needs distinct indices in 0..{self.features - 1}, got {chosen}. "
                "Was the selection made for an adapter with another number of features?"
            )
        last = f"layers.{self.depth - 1}."
        state = {
            name: value[indices] if name.startswith(last) and value.ndim else value
            for name, value in self.state_dict().items()
        }
        copy = Adapter(self.in_dim, self.hidden, len(chosen), self.depth)
        copy.to(next(self.parameters())).load_state_dict(state)
        return copy.train(self.training)


@torch.no_grad()
def recalibrate_batch_norm(
    adapter: Adapter, batches: Iterable[Tensor], buffers: Buffers | None = None
) -> None:
    """Replace the running statistics by the mean and variance of all tokens in `batches`.

    Running statistics belong to the weights they were gathered with, but schedule-free
    optimisers evaluate at others (Defazio et al. 2024, the authors' advice on batch norm).
    One pass over tensors (B, P, D) in training mode. Moments are pooled over tokens (Chan et
    al. 1983), so a small last batch counts for what it holds. The first layer's statistics are
    exact for any batches; a later layer sees tokens that were normalised within their batch, so
    one batch of everything is exact throughout and large batches come close.

    Raises:
        ConfigError: there is no batch.
    """
    was_training = adapter.training
    norms = [module for module in adapter.modules() if isinstance(module, nn.BatchNorm1d)]
    pooled = [_Moments(norm) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    adapter.train()
    for norm in norms:
        norm.momentum = 1.0  # a forward pass then leaves the batch's own moments behind
    try:
        for tokens in batches:
            adapter(tokens, buffers)
            for moments in pooled:
                moments.add_batch(tokens.shape[0] * tokens.shape[1])
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        adapter.train(was_training)
    for moments in pooled:
        moments.write()


class _Moments:
    """Mean and sum of squared deviations over batches, for one batch normalisation."""

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.count = 0
        self.mean = torch.zeros_like(self.running_mean, dtype=torch.float64)
        self.squares = torch.zeros_like(self.mean)

    def add_batch(self, count: int) -> None:
        """Merge the moments of `count` tokens that the last forward pass left behind."""
        total = self.count + count
        delta = self.running_mean.double() - self.mean
        self.squares += self.running_var.double() * (count - 1)
        self.squares += delta**2 * (self.count * count / total)
        self.mean += delta * (count / total)
        self.count = total

    def write(self) -> None:
        """Store the pooled moments as the running statistics."""
        if self.count == 0:
            raise ConfigError(
                "recalibrate_batch_norm: got no batch; pass the training images' tokens."
            )
        self.running_mean.copy_(self.mean)
        self.running_var.copy_(self.squares / (self.count - 1))  # unbiased, as torch keeps it
