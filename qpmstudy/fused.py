"""The adapter's layers while they train: linear, batch norm and ReLU of all as one operation.

Symbols: T tokens, F features of a layer, z = W x, y = relu(gamma (z - mean) / std + beta).

The mathematics is that of `Layer` after `Layer`; what differs is the traffic to memory, which
costs a CPU as much time as a third of the matrix products:

- Large results live in `Buffers` that every step uses again. Memory from the system comes in
  pages that the kernel clears first, 2.8 microseconds each on the machine of
  tests/benchmarks/results/train.md, 40,000 a step.
- Only z is kept. y and the gradient of z are made block by block, while the block is in the
  cache, beside the product that reads them.
- The linear layer's bias is left out: subtracting the mean cancels it, so that it shows in the
  running mean alone and its gradient is exactly 0 instead of rounding noise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

BLOCK = 2**19
"""Numbers in a block: 2 MB of float32. 1024 rows of 512 were faster than 512 or 2048."""


class Buffers:
    """Memory that belongs to one training loop and is written anew in every step.

    A second forward pass before the backward pass of the first is refused by autograd, since
    it overwrites what the first needs.
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, like: Float[Tensor, " F"]) -> Float[Tensor, "{rows} F"]:
        """Return a matrix of any content; what was taken under that name before is lost."""
        count = rows * len(like)
        held = self._held.get(name)
        if held is None or len(held) < count or held.dtype != like.dtype:
            held = self._held[name] = like.new_empty(count)
        return held[:count].view(rows, len(like))


def fused_layers(
    tokens: Float[Tensor, "T D"],
    layers: Sequence[tuple[nn.Linear, nn.BatchNorm1d]],
    buffers: Buffers,
) -> Float[Tensor, "T F"]:
    """Return the last layer's activations in training mode, and update running statistics.

    Gradients reach the layers' parameters, not the tokens, which are frozen (paper section 3).
    """
    assert not tokens.requires_grad
    parameters = [value for pair in layers for module in pair for value in module.parameters()]
    activations: Tensor = _FusedLayers.apply(
        tokens, layers, buffers, torch.is_grad_enabled(), *parameters
    )
    return activations


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    size = max(1, BLOCK // columns)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


@dataclass(frozen=True)
class _Layer:
    """What a layer's forward pass leaves behind; scale and shift turn z into gamma zhat + beta."""

    weight: Float[Tensor, "F D"]
    z: Float[Tensor, "T F"]
    mean: Float[Tensor, " F"]
    inverse_std: Float[Tensor, " F"]
    scale: Float[Tensor, " F"]
    shift: Float[Tensor, " F"]

    def activations(self, rows: slice, buffers: Buffers) -> Float[Tensor, "b F"]:
        """Return y of some rows, made anew."""
        z = self.z[rows]
        out = buffers.take("activations", len(z), self.shift)
        return torch.addcmul(self.shift, z, self.scale, out=out).relu_()

    def tensors(self) -> list[Tensor]:
        """Return the fields in order."""
        return [getattr(self, field.name) for field in fields(self)]


class _Gradient:
    """dL / d(gamma zhat + beta) of a layer, and what its sums over all tokens amount to."""

    def __init__(self, layer: _Layer, name: str, buffers: Buffers) -> None:
        self.layer, self.buffers = layer, buffers
        self.values = buffers.take(name, len(layer.z), layer.mean)
        self.beta = torch.zeros_like(layer.mean)  # dL / d beta: the sum of `values`
        self._products = torch.zeros_like(layer.mean)  # sum of values * (z - mean)

    def mask(self, rows: slice, activations: Float[Tensor, "b F"]) -> None:
        """Carry the gradient that `values` hold for some rows of y back through the ReLU."""
        block = self.values[rows]
        torch.ops.aten.threshold_backward.grad_input(block, activations, 0, grad_input=block)
        self.beta += block.sum(0)
        centred = self.buffers.take("centred", len(block), self.layer.mean)
        torch.sub(self.layer.z[rows], self.layer.mean, out=centred)
        self._products += centred.mul_(block).sum(0)

    @property
    def gamma(self) -> Float[Tensor, " F"]:
        """Return dL / d gamma; for this and what follows see Ioffe and Szegedy 2015, section 3."""
        return self._products * self.layer.inverse_std

    def coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return a, b, c (F,) such that dL / dz = a * values + b * z + c."""
        layer, count = self.layer, len(self.values)
        b = -layer.scale * layer.inverse_std * self.gamma / count
        return layer.scale, b, -layer.scale * self.beta / count - b * layer.mean


class _FusedLayers(torch.autograd.Function):
    # `ctx` is Any: torch's FunctionCtx declares nothing of what it keeps for the way back.

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        modules: Sequence[tuple[nn.Linear, nn.BatchNorm1d]],
        buffers: Buffers,
        keep: bool,
        *parameters: Tensor,
    ) -> Tensor:
        layers: list[_Layer] = []
        for depth, (linear, norm) in enumerate(modules):
            # without a backward pass, a layer needs the one before it and none else
            name = f"z {depth if keep else depth % 2}"
            below = layers[-1] if layers else None
            layers.append(_forward_layer(tokens, below, linear, norm, name, buffers))
        if keep:
            saved = [value for layer in layers for value in layer.tensors()]
            ctx.save_for_backward(tokens, *saved)
            ctx.buffers = buffers
        last = layers[-1]
        return torch.addcmul(last.shift, last.z, last.scale).relu_()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tokens, *saved = ctx.saved_tensors
        buffers: Buffers = ctx.buffers
        size = len(fields(_Layer))
        layers = [_Layer(*saved[start : start + size]) for start in range(0, len(saved), size)]
        gradient = _Gradient(layers[-1], "gradient", buffers)
        for rows in _blocks(*gradient.values.shape):
            gradient.values[rows] = grad[rows]
            gradient.mask(rows, layers[-1].activations(rows, buffers))
        found: list[Tensor | None] = []
        for depth in reversed(range(len(layers))):
            lower = None
            if depth:
                lower = _Gradient(layers[depth - 1], f"gradient {depth % 2}", buffers)
            weight = _backward_layer(tokens, gradient, lower, buffers)
            found = [weight, torch.zeros_like(gradient.beta), gradient.gamma, gradient.beta, *found]
            if lower:
                gradient = lower
        return (None, None, None, None, *found)


def _forward_layer(
    tokens: Tensor,
    below: _Layer | None,
    linear: nn.Linear,
    norm: nn.BatchNorm1d,
    name: str,
    buffers: Buffers,
) -> _Layer:
    z = buffers.take(name, len(tokens), linear.bias)
    counts, means, variances = [], [], []
    for rows in _blocks(*z.shape):
        inputs = below.activations(rows, buffers) if below else tokens[rows]
        block = torch.mm(inputs, linear.weight.t(), out=z[rows])
        mean, variance = torch.batch_norm_update_stats(block, None, None, 0.0)
        counts.append(len(block))
        means.append(mean)
        variances.append(variance)
    # moments of the blocks pooled as in Chan et al. 1983
    share = z.new_tensor(counts).unsqueeze(1) / len(z)
    block_means = torch.stack(means)
    mean = (share * block_means).sum(0)
    variance = (share * (torch.stack(variances) + (block_means - mean) ** 2)).sum(0)
    _update_running_statistics(norm, mean + linear.bias, variance, len(z))
    inverse_std = (variance + norm.eps).rsqrt()
    scale = norm.weight * inverse_std
    return _Layer(linear.weight, z, mean, inverse_std, scale, norm.bias - mean * scale)


def _update_running_statistics(
    norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: int
) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(mean, norm.momentum)
    # unbiased, as torch keeps it
    norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
    norm.num_batches_tracked += 1


def _backward_layer(
    tokens: Tensor, gradient: _Gradient, lower: _Gradient | None, buffers: Buffers
) -> Float[Tensor, "F D"]:
    """Return dL / dW of a layer, and leave the gradient of the layer below in `lower`."""
    layer = gradient.layer
    a, b, c = gradient.coefficients()
    weight = torch.zeros_like(layer.weight)
    for rows in _blocks(*layer.z.shape):
        z = layer.z[rows]
        z_grad = torch.addcmul(c, z, b, out=buffers.take("z gradient", len(z), c))
        z_grad.addcmul_(gradient.values[rows], a)
        if lower is None:
            weight.addmm_(z_grad.t(), tokens[rows])
            continue
        inputs = lower.layer.activations(rows, buffers)
        weight.addmm_(z_grad.t(), inputs)
        torch.mm(z_grad, layer.weight, out=lower.values[rows])
        lower.mask(rows, inputs)
    return weight
