"""Batch-norm statistics for the weights that a model is used with.

B images, T tokens of each, D channels.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from qpmstudy.adapter import Adapter
from qpmstudy.errors import ConfigError
from qpmstudy.fused import Buffers


@torch.no_grad()
def recalibrate_batch_norm(
    adapter: Adapter, batches: Iterable[Tensor], buffers: Buffers | None = None
) -> None:
    """Replace the running statistics by the mean and variance of all tokens in `batches`.

    Running statistics belong to the weights they were gathered with, but schedule-free
    optimisers evaluate at others (Defazio et al. 2024, the authors' advice on batch norm).
    One pass over tensors (B, T, D) in training mode. Moments are pooled over tokens (Chan et
    al. 1983), so a small last batch counts for what it holds. The first layer's statistics are
    exact for any batches; a later layer sees tokens that were normalised within their batch, so
    one batch of everything is exact throughout and large batches come close.

    Raises:
        ConfigError: there is no batch.
    """
    was_training = adapter.training
    norms = [module for module in adapter.modules() if isinstance(module, nn.BatchNorm1d)]
    if not norms:  # an adapter without layers
        return
    pooled = [_Moments(norm) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    adapter.train()
    for norm in norms:
        norm.momentum = 1.0  # a forward pass then leaves the batch's own moments behind
    try:
        for tokens in batches:
            adapter(tokens, buffers)
            for moments in pooled:
                moments.add_batch(tokens.shape[0] * adapter.normalised(tokens.shape[1]))
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
