"""The published vision transformers once more, in float64 and from their papers' definitions.

Nothing here is shared with timm or with the package: the tests compare the two.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from published import Vit

Floats = NDArray[np.float64]


def plain_tokens(
    vit: Vit,
    checkpoint: dict[str, Tensor],
    images: Tensor,
    layer: int | None = None,
    norm: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return patch tokens and class token behind a block and the last norm, as float64."""
    w = {name: tensor.double() for name, tensor in checkpoint.items()}
    batch, _, height, width = images.shape
    rows, columns = height // vit.patch, width // vit.patch
    cells = images.double().reshape(batch, 3, rows, vit.patch, columns, vit.patch)
    flat = cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
    patches = flat @ w["patch_embed.proj.weight"].flatten(1).T + w["patch_embed.proj.bias"]
    cls = w["cls_token"]
    if vit.family != "dinov3":
        cls = cls + w["pos_embed"][:, :1]
        patches = patches + _positions(vit, w["pos_embed"][0, 1:], rows, columns)
    name = "storage_tokens" if vit.family == "dinov3" else "register_tokens"
    extra = [w[name].expand(batch, -1, -1)] if vit.registers else []
    x = torch.cat([cls.expand(batch, -1, -1), *extra, patches], dim=1)
    turns = _turns(w["rope_embed.periods"], rows, columns) if vit.family == "dinov3" else None
    for block in range(layer or vit.depth):
        prefix = f"blocks.{block}."
        own = {k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)}
        one = torch.ones(vit.dim, dtype=torch.float64)
        attended = _attention(vit, own, _norm(vit, own, "norm1", x), turns)
        x = x + own.get("ls1.gamma", one) * attended
        x = x + own.get("ls2.gamma", one) * _mlp(own, _norm(vit, own, "norm2", x))
    x = _norm(vit, w, "norm", x) if norm else x
    return x[:, 1 + vit.registers :], x[:, 0]


def _norm(vit: Vit, w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    eps = 1e-5 if vit.family == "dinov3" else 1e-6
    scale = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]


def _attention(vit: Vit, w: dict[str, Tensor], x: Tensor, turns: Tensor | None) -> Tensor:
    batch, length, dim = x.shape
    bias = w["attn.qkv.bias"] * w.get("attn.qkv.bias_mask", torch.ones(3 * dim))
    heads = (x @ w["attn.qkv.weight"].T + bias).reshape(batch, length, 3, vit.heads, -1)
    q, k, v = heads.permute(2, 0, 3, 1, 4)  # each B x heads x length x d
    if turns is not None:
        prefix = length - len(turns)
        q, k = (torch.cat([y[:, :, :prefix], _turned(y[:, :, prefix:], turns)], 2) for y in (q, k))
    scores = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(dim / vit.heads), dim=-1)
    mixed = (scores @ v).transpose(1, 2).reshape(batch, length, dim)
    return mixed @ w["attn.proj.weight"].T + w["attn.proj.bias"]


def _mlp(w: dict[str, Tensor], x: Tensor) -> Tensor:
    if "mlp.w12.weight" in w:  # SwiGLU
        gate, value = (x @ w["mlp.w12.weight"].T + w["mlp.w12.bias"]).chunk(2, dim=-1)
        return (gate * torch.sigmoid(gate) * value) @ w["mlp.w3.weight"].T + w["mlp.w3.bias"]
    hidden = x @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return hidden @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]


def _turns(periods: Tensor, rows: int, columns: int) -> Tensor:
    """Return the complex numbers by which RoPE turns the pairs of every patch (P x d/2)."""
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows * 2 - 1
    x = (torch.arange(columns, dtype=torch.float64) + 0.5) / columns * 2 - 1
    down = y.repeat_interleave(columns)[:, None] / periods
    across = x.repeat(rows)[:, None] / periods
    angles = 2 * math.pi * torch.cat([down, across], dim=1)
    return torch.polar(torch.ones_like(angles), angles)


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (i, i + d/2) of the last dimension."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.complex(first.contiguous(), second.contiguous()) * turns
    return torch.cat([turned.real, turned.imag], dim=-1)


def _positions(vit: Vit, stored: Tensor, rows: int, columns: int) -> Tensor:
    """Return positions for the grid, resampled separably with bicubic weights."""
    square = stored.reshape(vit.stored, vit.stored, -1)
    if rows == columns == vit.stored:
        return stored
    weigh = _smooth_weights if vit.registers else _sharp_weights
    down, across = (torch.from_numpy(weigh(vit.stored, size)) for size in (rows, columns))
    return torch.einsum("ri,cj,ijd->rcd", down, across, square).flatten(0, 1)


def _cubic(x: Floats, a: float) -> Floats:
    """Return the cubic convolution kernel (Keys 1981)."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _sharp_weights(old: int, new: int) -> Floats:
    """Return new x old weights, a = -3/4, borders repeated, scaled as if new were new + 0.1."""
    weights = np.zeros((new, old))
    for i in range(new):
        centre = (i + 0.5) * old / (new + 0.1) - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            weights[i, min(max(j, 0), old - 1)] += _cubic(np.array(centre - j), -0.75)
    return weights


def _smooth_weights(old: int, new: int) -> Floats:
    """Return new x old weights, a = -1/2, the kernel widened to the new pixel's size."""
    scale = max(old / new, 1.0)
    centres = (np.arange(new)[:, None] + 0.5) * old / new
    weights = _cubic((np.arange(old) + 0.5 - centres) / scale, -0.5)
    return weights / weights.sum(axis=1, keepdims=True)
