"""Pixels come back from a store as they were: whole numbers, in their places."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.pixels import SIDES, patches_of, pictures_of
from qpmstudy.config import PIXELS
from qpmstudy.errors import ConfigError


@pytest.mark.parametrize(("name", "side"), [("pixels", 224), ("pixels-112", 112)])
def test_a_picture_can_be_put_together_again(name: str, side: int) -> None:
    backbone = open_backbone(name)
    shown = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    images = torch.stack([backbone.preprocess(Image.fromarray(one)) for one in shown])
    tokens, cls = backbone.embed(images)
    rows, columns = backbone.grid
    assert backbone.dim == 192
    assert (rows, columns) == (side // 8, side // 8)
    stored = tokens.half().float().reshape(2, rows, columns, 3, 8, 8)
    again = stored.permute(0, 1, 4, 2, 5, 3).reshape(2, side, side, 3)
    assert np.array_equal(again.numpy(), shown)
    assert torch.allclose(cls, tokens.mean(dim=1))


def test_values_are_whole_after_resizing() -> None:
    backbone = open_backbone("pixels-112")
    noise = np.random.default_rng(1).integers(0, 256, (90, 250, 3), dtype=np.uint8)
    seen = backbone.preprocess(Image.fromarray(noise))
    assert torch.equal(seen, seen.round())
    assert seen.min() >= 0
    assert seen.max() <= 255


def test_sizes_have_hashes_of_their_own() -> None:
    hashes = {open_backbone(name).weight_hash for name in ("pixels", "pixels-112")}
    assert {len(digest) for digest in hashes} == {64}
    assert len(hashes) == 2


def test_it_has_no_weights() -> None:
    with pytest.raises(ConfigError, match=r"'pixels' has no weights, but a\.pth was given"):
        open_backbone("pixels", Path("a.pth"))


@pytest.mark.parametrize("grid", [1, 2, 3, 14])
def test_pictures_and_patches_are_each_others_inverse(grid: int) -> None:
    generator = torch.Generator().manual_seed(grid)
    pictures = torch.randint(0, 256, (2, 3, 8 * grid, 8 * grid), generator=generator)
    patches = patches_of(pictures)
    assert patches.shape == (2, grid * grid, 192)
    assert torch.equal(pictures_of(patches), pictures)
    assert torch.equal(patches_of(pictures_of(patches)), patches)
    unfolded = torch.nn.functional.unfold(pictures.double(), 8, stride=8).mT
    assert torch.equal(patches.double(), unfolded)


@pytest.mark.parametrize(("count", "dim"), [(12, 192), (16, 96)])
def test_other_tokens_make_no_picture(count: int, dim: int) -> None:
    expected = rf"{count} tokens of {dim} channels are no square picture.*Use a store of pixels or"
    with pytest.raises(ConfigError, match=expected):
        pictures_of(torch.zeros(1, count, dim))


def test_the_configuration_knows_every_size() -> None:
    assert set(PIXELS) == set(SIDES)
