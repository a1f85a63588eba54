"""The two classifiers on the feature vector f: dense while features form, sparse afterwards.

B images, F features of the dense model, S selected features (paper: N*), C classes.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qpmstudy.adapter import seeded_linear
from qpmstudy.errors import ConfigError

STD_FLOOR = 1e-6


class FeatureDropout(nn.Module):
    """Dropout whose masks come from a generator of its own, never from torch's global one."""

    def __init__(self, share: float, generator: torch.Generator) -> None:
        """Draw the seed of every later mask from `generator`; `share` is what is dropped."""
        super().__init__()
        if not 0 <= share < 1:
            raise ConfigError(f"The head's dropout must be in [0, 1), not {share}.")
        self.share = share
        self._seed = int(torch.randint(2**62, (), generator=generator))
        self._noise: torch.Generator | None = None

    def forward(self, feature_vector: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """Return the vector under a fresh mask while training, as it is otherwise."""
        if not self.training or not self.share:
            return feature_vector
        # A generator belongs to a device, which is known only now.
        if self._noise is None or self._noise.device != feature_vector.device:
            self._noise = torch.Generator(feature_vector.device).manual_seed(self._seed)
        kept = 1 - self.share
        mask = torch.empty_like(feature_vector).bernoulli_(kept, generator=self._noise)
        return feature_vector * mask / kept


class DenseHead(nn.Module):
    """Linear layer with bias, behind dropout on f while training (paper section 3, dense phase)."""

    def __init__(
        self, features: int, classes: int, dropout: float, generator: torch.Generator
    ) -> None:
        """Draw the weights, and the seed of every later dropout mask, from `generator`."""
        super().__init__()
        linear = seeded_linear(features, classes, generator)
        self.weight, self.bias = linear.weight, linear.bias
        self.dropout = FeatureDropout(dropout, generator)

    def forward(self, feature_vector: Float[Tensor, "B F"]) -> Float[Tensor, "B C"]:
        """Return the logits; in training mode those of a fresh dropout mask."""
        return nn.functional.linear(self.dropout(feature_vector), self.weight, self.bias)


class SparseHead(nn.Module):
    """Logits W ((f - mean) / std) + b with a fixed sparse W and nothing to train.

    QPM's W is binary and has no b. The SLDD-Model's W has real entries, Q-SENN's -a, 0 and a;
    both have a b and train behind dropout on f. `mean` and `std` (S,) are those of the training
    features that W was made from; with zeros and ones the head is the W f of DINO-QPM's text.

    All three papers fix the layer before fine-tuning. The code published with SLDD and Q-SENN
    goes on training mean and std; here they stay, for every method: the last batch norm of the
    adapter scales and shifts each feature already, weight decay would pull a free deviation to
    zero, and a contribution keeps its meaning, a feature's distance from its mean before.
    """

    weight: Tensor
    mean: Tensor
    std: Tensor
    bias: Tensor | None

    def __init__(
        self,
        weight: Bool[Tensor, "C S"] | Float[Tensor, "C S"],
        mean: Float[Tensor, " S"],
        std: Float[Tensor, " S"],
        bias: Float[Tensor, " C"] | None = None,
        dropout: FeatureDropout | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(mean.dtype, copy=True))
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())
        self.register_buffer("bias", None if bias is None else bias.to(mean.dtype, copy=True))
        self.dropout = dropout or nn.Identity()

    def standardised(self, feature_vector: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
        """Return (f - mean) / std; a standard deviation below 1e-6 counts as 1e-6."""
        return (feature_vector - self.mean) / self.std.clamp(STD_FLOOR)

    def forward(self, feature_vector: Float[Tensor, "B S"]) -> Float[Tensor, "B C"]:
        """Return the logits: for each class, the weighted sum of its standardised features."""
        scores = self.standardised(self.dropout(feature_vector))
        return nn.functional.linear(scores, self.weight, self.bias)
