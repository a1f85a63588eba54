"""A pretrained backbone as the rest sees it: pictures in, tokens on the CPU out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_networks import tiny

from published import PUBLISHED
from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.pretrained import Pretrained
from qpmstudy.masks import mask_to_grid

NAME = "dinov2-vits14-reg"


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The real size, with random weights."""
    path = tmp_path_factory.mktemp("weights") / "s.pth"
    torch.save(PUBLISHED[NAME].random(), path)
    return open_backbone(NAME, path)


def picture(seed: int, size: tuple[int, int] = (300, 200)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def test_tokens_of_pictures(backbone: Backbone) -> None:
    assert (backbone.name, backbone.dim, backbone.grid) == (NAME, 384, (16, 16))
    images = torch.stack([backbone.preprocess(picture(seed)) for seed in range(2)])
    tokens, cls = backbone.embed(images)
    assert tokens.shape == (2, 256, 384)
    assert cls.shape == (2, 384)
    for found in (tokens, cls):
        assert found.device.type == "cpu"
        assert found.dtype == torch.float32
        assert not found.requires_grad
        assert not found.is_inference()  # an adapter can be trained on them
        # After the last layer norm: about one for weights near one.
        assert found.std().item() == pytest.approx(1, abs=0.3)
    again = backbone.embed(images)
    assert torch.equal(tokens, again[0])
    assert torch.equal(cls, again[1])
    alone = backbone.embed(images[1:])
    assert torch.allclose(tokens[1], alone[0][0], atol=1e-4)
    assert torch.allclose(cls[1], alone[1][0], atol=1e-4)


@pytest.mark.parametrize("name", ["dino-vits16", "dinov2-vits14-reg", "dinov3-vits16"])
def test_tokens_are_row_major_and_without_registers(name: str, tmp_path: Path) -> None:
    """A change in one patch moves its own token the most: what attention carries on is less."""
    entry, vit = tiny(name)
    torch.save(vit.random(), tmp_path / "w.pth")
    backbone = Pretrained(entry, tmp_path / "w.pth")
    rows, columns = backbone.grid
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    for row, column in ((0, 0), (3, 11), (rows - 1, columns - 1)):
        changed, size = images.clone(), vit.patch
        changed[..., row * size : (row + 1) * size, column * size : (column + 1) * size] *= -1
        moved = (backbone.embed(changed)[0] - backbone.embed(images)[0])[0].norm(dim=1)
        assert moved.argmax().item() == row * columns + column


@pytest.mark.parametrize("size", [(224, 224), (500, 333), (37, 90), (1, 1), (224, 3000)])
def test_any_size_is_preprocessed(backbone: Backbone, size: tuple[int, int]) -> None:
    seen = backbone.preprocess(Image.new("RGB", size, (255, 128, 0)))
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, -0.406 / 0.225]
    assert seen.shape == (3, 224, 224)
    assert seen[:, 100, 100].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "I;16"])
def test_any_mode_is_preprocessed(backbone: Backbone, mode: str) -> None:
    grey = picture(3).convert("L")
    if mode == "I;16":
        other = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        other = grey.quantize(256) if mode == "P" else grey.convert("RGB").convert(mode)
    difference = backbone.preprocess(other) - backbone.preprocess(grey.convert("RGB"))
    assert difference.abs().max().item() < 0.1


def test_the_whole_shorter_side_is_seen(backbone: Backbone) -> None:
    """And a mask of the left half is the left half of the tokens."""
    mask = np.zeros((200, 300), bool)
    mask[:, :150] = True
    half = Image.fromarray(mask.astype(np.uint8) * 255)
    seen = backbone.preprocess(half)[0] > 0
    assert seen[:, :112].all()
    assert not seen[:, 112:].any()
    tokens = mask_to_grid(mask, backbone.grid, backbone.preprocessing).reshape(16, 16)
    assert tokens[:, :8].all()
    assert not tokens[:, 8:].any()
