"""Published weights put into the networks: from the authors' checkpoints, or timm's of the same.

What timm does otherwise than the authors is put right here: how positions are resampled, DINOv3's
frequencies (stored ones, rounded to bfloat16) and its masked bias of keys.

Symbols: P patches, D channels, N stored positions on a square.
"""

import math
from collections.abc import Mapping, Set
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from qpmstudy.backbones.catalogue import Layout
from qpmstudy.backbones.checkpoints import listed
from qpmstudy.errors import DataError

NOT_STORED = (".k_bias", "rope.periods")
"""Endings of what timm computes instead of storing it."""
BIASES = ("q_bias", "k_bias", "v_bias")


def fill(
    network: nn.Module, weights: Mapping[str, Tensor], layout: Layout, path: Path
) -> dict[str, Tensor]:
    """Give a network that was built the weights that were read from `path`, as float32.

    Returns:
        The weights by the network's own names, for a grid of any size: the same for the authors'
        checkpoint and for timm's of the same model.

    Raises:
        DataError: a tensor is missing, has another shape, or is not of this network.
    """
    own = dict(network.named_parameters()) | dict(network.named_buffers())
    weights = {name: tensor.float() for name, tensor in weights.items()}
    if is_timms(weights, network, layout):
        _check_names(weights, {name for name in own if not name.endswith(NOT_STORED)}, layout, path)
        named = {name: _of_timm(name, weights, place) for name, place in own.items()}
    else:
        sources = {name: layout.published(name) for name in own}
        masks = {f"{sources[name]}_mask" for name in own if name.endswith(".k_bias")}
        _check_names(weights, {*sources.values(), *masks}, layout, path)
        named = {name: _of_authors(name, sources[name], weights, layout) for name in own}
    for name, place in own.items():
        value = named[name]
        if name == "pos_embed":
            value = _positions(value, place.shape[1], layout.registers)
        if value.shape != place.shape:
            raise DataError(
                f"{path} is not the checkpoint of this network: {layout.published(name)!r} gives "
                f"{tuple(value.shape)}, but {tuple(place.shape)} is needed. "
                "Take the published file of exactly this backbone."
            )
        module, _, leaf = name.rpartition(".")
        if isinstance(place, nn.Parameter):
            value = nn.Parameter(value.contiguous(), requires_grad=False)
        setattr(network.get_submodule(module), leaf, value)
    return named


def is_timms(weights: Mapping[str, Tensor], network: nn.Module, layout: Layout) -> bool:
    """Return whether weights have timm's names and not their authors'."""
    parameters = [name for name, _ in network.named_parameters()]
    own = all(name in weights for name in parameters)
    return own and not all(layout.published(name) in weights for name in parameters)


def _check_names(
    weights: Mapping[str, Tensor], needed: Set[str], layout: Layout, path: Path
) -> None:
    missing = sorted(needed - weights.keys())
    extra = [name for name in weights.keys() - needed if not name.endswith(layout.unused)]
    if missing or extra:
        raise DataError(
            f"{path} is not the checkpoint of this network: "
            f"missing are {listed(missing) or 'none'}; foreign are {listed(extra) or 'none'}. "
            "Take the published file of exactly this backbone."
        )


def _of_authors(name: str, source: str, weights: Mapping[str, Tensor], layout: Layout) -> Tensor:
    """Return what is called `name` here and `source` in the authors' checkpoint."""
    value = weights[source]
    leaf = name.rpartition(".")[2]
    if leaf in BIASES:
        masked = value * weights[f"{source}_mask"] + 0.0  # -0 becomes 0, as timm has it
        return masked.chunk(3)[BIASES.index(leaf)]
    if name == "cls_token" and layout.registers:
        return value + weights["pos_embed"][:, :1]
    if name == "pos_embed" and layout.registers:
        return value[:, 1:]
    return value


def _of_timm(name: str, weights: Mapping[str, Tensor], place: Tensor) -> Tensor:
    """Return what is called `name` in timm's checkpoint, or computed if it is not stored there."""
    if name.endswith(".k_bias"):
        return torch.zeros(place.shape)
    if name.endswith("rope.periods"):
        count = len(place)  # as the authors store them: in bfloat16
        periods: Tensor = 100.0 ** (torch.arange(count) / count)
        return periods.bfloat16().float()
    return weights[name] + 0.0 if name.endswith(BIASES) else weights[name]


def _positions(value: Tensor, places: int, registers: bool) -> Tensor:
    """Return positions for a square grid, with the class token's in front where it has one."""
    if registers:
        return resampled_positions(value, places, antialias=True)
    return torch.cat(
        [value[:, :1], resampled_positions(value[:, 1:], places, antialias=False)], dim=1
    )


def resampled_positions(
    positions: Float[Tensor, "1 N D"], places: int, antialias: bool
) -> Float[Tensor, "1 P D"]:
    """Return stored positions for the square grid that has at most `places` places.

    Bicubic, as each model's authors do it: with antialiasing to exactly the size (DINOv2 with
    registers), or without, by a scale that is a tenth of a patch too large (the others).
    """
    old, new = math.isqrt(positions.shape[1]), math.isqrt(places)
    if old == new or old * old != positions.shape[1]:  # no square: `fill` names the shape
        return positions
    square = positions.unflatten(1, (old, old)).permute(0, 3, 1, 2)
    if antialias:
        square = functional.interpolate(square, size=(new, new), mode="bicubic", antialias=True)
    else:
        scale = (new + 0.1) / old
        square = functional.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
    return square.permute(0, 2, 3, 1).flatten(1, 2)
