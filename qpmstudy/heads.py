"""The two classifiers on the feature vector f: dense while features form, binary afterwards.

B images, F features of the dense model, S selected features (paper: N*), C classes.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qpmstudy.adapter import seeded_linear
from qpmstudy.errors import ConfigError

STD_FLOOR = 1e-6


class DenseHead(nn.Module):
    """Linear layer with bias, behind dropout on f while training (paper section 3, dense phase)."""

    def __init__(
        self, features: int, classes: int, dropout: float, generator: torch.Generator
    ) -> None:
        """Draw the weights, and the seed of every later dropout mask, from `generator`."""
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"DenseHead: dropout must be in [0, 1), not {dropout}.")
        linear = seeded_linear(features, classes, generator)
        self.weight, self.bias = linear.weight, linear.bias
        self.dropout = dropout
        self._seed = int(torch.randint(2**62, (), generator=generator))
        self._noise: torch.Generator | None = None

    def forward(self, feature_vector: Float[Tensor, "B F"]) -> Float[Tensor, "B C"]:
        """Return the logits; in training mode those of a fresh dropout mask."""
        if self.training and self.dropout:
            # A generator belongs to a device, which is known only now.
            if self._noise is None or self._noise.device != feature_vector.device:
                self._noise = torch.Generator(feature_vector.device).manual_seed(self._seed)
            keep = torch.empty_like(feature_vector).bernoulli_(
                1 - self.dropout, generator=self._noise
            )
            feature_vector = feature_vector * keep / (1 - self.dropout)
        return nn.functional.linear(feature_vector, self.weight, self.bias)


class SparseHead(nn.Module):
    """Logits W ((f - mean) / std) with a fixed binary W and nothing to train.

    `mean` and `std` (S,) are those of the dense model's training features. With zeros and ones
    the head is the W f of the paper's text.
    """

    weight: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        assignment: Bool[Tensor, "C S"],
        mean: Float[Tensor, " S"],
        std: Float[Tensor, " S"],
    ) -> None:
        super().__init__()
        self.register_buffer("weight", assignment.to(mean.dtype))
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def standardised(self, feature_vector: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
        """Return (f - mean) / std; a standard deviation below 1e-6 counts as 1e-6."""
        return (feature_vector - self.mean) / self.std.clamp(STD_FLOOR)

    def forward(self, feature_vector: Float[Tensor, "B S"]) -> Float[Tensor, "B C"]:
        """Return the logits: for each class, the sum of its features, standardised."""
        return nn.functional.linear(self.standardised(feature_vector), self.weight)
