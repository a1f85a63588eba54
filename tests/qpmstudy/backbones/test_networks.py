"""Tokens equal those of a second implementation, and every published checkpoint fits."""

from dataclasses import replace
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from plain_resnet import plain_stage
from plain_vit import plain_tokens
from torch import Tensor
from torchvision.models import resnet50

from published import PUBLISHED, Vit, random_resnet, tiny_vit
from qpmstudy.backbones.catalogue import CATALOGUE, Entry
from qpmstudy.backbones.filling import fill
from qpmstudy.backbones.networks import build, tokens_of

FILE = Path("weights.pth")


def images() -> Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def tiny(name: str, **changes: int) -> tuple[Entry, Vit]:
    """Return an entry and what is published for it, both narrow and of two blocks."""
    vit = tiny_vit(PUBLISHED[name], **changes)
    narrow = {"embed_dim": 48, "depth": 2, "num_heads": 3}
    entry = replace(CATALOGUE[name], size=narrow, layers=2)
    return entry, vit


@torch.no_grad()
def ours(
    entry: Entry,
    weights: dict[str, Tensor],
    pictures: Tensor,
    layer: int | None = None,
    norm: bool = True,
) -> tuple[Tensor, Tensor]:
    network = build(entry, pictures.shape[-1])
    fill(network, weights, entry.layout, FILE)
    return tokens_of(network, pictures, layer or entry.layers, norm)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in PUBLISHED),
        ("dino-vits16", {"stored": 10}),
        ("dinov2-vits14", {"stored": 16}),
    ],
)
def test_tokens_are_those_of_the_definition(name: str, changes: dict[str, int]) -> None:
    entry, vit = tiny(name, **changes)
    weights = vit.random()
    for found, expected in zip(
        ours(entry, weights, images()), plain_tokens(vit, weights, images()), strict=True
    ):
        assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dino-vits16", "dinov2-vits14-reg", "dinov3-vits16"])
def test_tokens_of_the_full_size_are_those_of_the_definition(name: str) -> None:
    """Twelve blocks of 384 channels: rounding grows, and stays below the bound."""
    weights, picture = PUBLISHED[name].random(), images()[:1]
    expected = plain_tokens(PUBLISHED[name], weights, picture)
    for found, wanted in zip(ours(CATALOGUE[name], weights, picture), expected, strict=True):
        assert_close(found, wanted)


@pytest.mark.parametrize("name", golden.FAMILIES)
def test_both_implementations_give_the_golden_tokens(name: str) -> None:
    expected = torch.from_numpy(np.load(golden.FILE)[name])
    plain = golden.kept(*golden.plain(name))
    assert (plain - expected).abs().max() < 1e-10 * expected.abs().max()
    if name == "resnet50":
        found = ours(CATALOGUE[name], random_resnet(), golden.picture(name))
    else:
        entry, vit = tiny(name)
        found = ours(entry, vit.random(), golden.picture(name))
    assert_close(golden.kept(*found).double(), expected)


@pytest.mark.parametrize("name", ["dino-vits16", "dinov2-vits14", "dinov2-vits14-reg",
                                  "dinov3-vits16"])  # fmt: skip
@pytest.mark.parametrize(
    ("layer", "norm", "side"),
    [(1, True, 0), (1, False, 0), (2, False, 0), (2, True, 9), (1, True, 9)],
)
def test_other_layers_and_sizes_are_those_of_the_definition(
    name: str, layer: int, norm: bool, side: int
) -> None:
    """Layers of the networks' own patch size; other grids than 224 pixels have, too."""
    entry, vit = tiny(name)
    pictures = images()
    if side:
        pixels = side * entry.patch
        pictures = torch.randn(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))
    weights = vit.random()
    for found, expected in zip(
        ours(entry, weights, pictures, layer, norm),
        plain_tokens(vit, weights, pictures, layer, norm),
        strict=True,
    ):
        assert_close(found, expected)


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_resnet_tokens_are_the_map_of_a_stage(stage: int) -> None:
    weights, small = random_resnet(), images()[..., :96, :64]
    patches, cls = ours(CATALOGUE["resnet50"], weights, small, stage)
    map_ = plain_stage(weights, small, stage)
    columns = 64 // 2 ** (stage + 1)
    assert map_.shape == (2, 128 * 2**stage, columns * 3 // 2, columns)
    assert_close(patches, map_.permute(0, 2, 3, 1).reshape(2, -1, 128 * 2**stage))
    assert_close(cls, map_.mean(dim=(2, 3)))


@pytest.mark.parametrize("name", [*PUBLISHED, "resnet50"])
def test_every_published_checkpoint_fits(name: str) -> None:
    """All names and shapes at full size, and the shapes of the tokens; no number is computed."""
    entry = CATALOGUE[name]
    network = build(entry)
    if name == "resnet50":
        with torch.device("meta"):
            weights = dict(resnet50().state_dict())
        side, dim = 7, 2048
    else:
        vit = PUBLISHED[name]
        weights = {key: torch.empty(shape, device="meta") for key, shape in vit.shapes().items()}
        side, dim = 224 // vit.patch, vit.dim
        assert (entry.layers, entry.patch) == (vit.depth, vit.patch)
    fill(network, weights, entry.layout, FILE)
    patches, cls = tokens_of(network, torch.empty(2, 3, 224, 224, device="meta"), entry.layers)
    assert patches.shape == (2, side * side, dim)
    assert cls.shape == (2, dim)


def test_the_catalogue_is_complete() -> None:
    assert set(CATALOGUE) == {*PUBLISHED, "resnet50"}
    files = {file for entry in CATALOGUE.values() for file in entry.files}
    assert {
        "dino_deitsmall16_pretrain.pth",
        "dino_deitsmall8_pretrain.pth",
        "dino_vitbase16_pretrain.pth",
        "dino_vitbase8_pretrain.pth",
        "dinov2_vits14_pretrain.pth",
        "dinov2_vitb14_reg4_pretrain.pth",
        "dinov2_vitg14_reg4_pretrain.pth",
        "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth",
        "resnet50-19c8e357.pth",
    } <= files
    assert len(files) == len(PUBLISHED) + 3


def test_building_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    entry, vit = tiny("dinov3-vits16")
    ours(entry, vit.random(), images())
    assert torch.equal(before, torch.get_rng_state())
