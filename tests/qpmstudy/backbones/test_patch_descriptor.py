"""The patch descriptor: same tokens whatever the batch, any picture in, constants as shipped."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from safetensors.torch import load_file, save_file

from qpmstudy.backbones import BACKBONES
from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.calibration import calibrate
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.patch_descriptor import WEIGHTS, PatchDescriptor
from qpmstudy.backbones.statistics import patch_statistics
from qpmstudy.datasets.birds.attributes import Code, random_code
from qpmstudy.datasets.birds.render import render
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.files import sha256


def _bird(seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    return render(random_code(generator), "sky", 0.0, generator).image


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return open_backbone("patch-descriptor")


def test_registry(backbone: Backbone) -> None:
    assert "patch-descriptor" in BACKBONES.names()
    assert backbone.weight_hash == sha256(WEIGHTS)
    with pytest.raises(
        ConfigError, match=r"Unknown backbone 'patch-descripter'.*'patch-descriptor'"
    ):
        open_backbone("patch-descripter")


def test_shapes_and_scale(backbone: Backbone) -> None:
    images = torch.stack([backbone.preprocess(_bird(seed)) for seed in range(6)])
    tokens, cls = backbone.embed(images)
    rows, columns = backbone.grid
    assert tokens.shape == (6, rows * columns, backbone.dim)
    assert cls.shape == (6, backbone.dim)
    assert tokens.isfinite().all()
    assert tokens.var(dim=(0, 1)).mean().item() == pytest.approx(1, abs=0.25)
    assert tokens.mean(dim=(0, 1)).abs().max().item() < 0.6


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 5), place=st.integers(0, 4), seed=st.integers(0, 1000))
def test_an_image_does_not_depend_on_its_batch(batch: int, place: int, seed: int) -> None:
    backbone = open_backbone("patch-descriptor")
    place %= batch
    images = torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(seed))
    tokens, cls = backbone.embed(images)
    alone_tokens, alone_cls = backbone.embed(images[place : place + 1].clone())
    assert torch.equal(tokens[place], alone_tokens[0])
    assert torch.equal(cls[place], alone_cls[0])


def test_memory_layout_does_not_matter(backbone: Backbone) -> None:
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    strided = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(backbone.embed(images)[0], backbone.embed(strided)[0])


def test_blank_images_are_finite(backbone: Backbone) -> None:
    blank = torch.stack([torch.zeros(3, 224, 224), torch.ones(3, 224, 224)])
    tokens, cls = backbone.embed(blank)
    assert tokens.isfinite().all()
    assert cls.isfinite().all()
    assert not torch.equal(cls[0], cls[1])


def test_a_change_shows_where_it_is(backbone: Backbone) -> None:
    """Tokens are row-major: a change in patch (3, 12) moves token 3 * 16 + 12 the most."""
    image = torch.full((1, 3, 224, 224), 0.5)
    image += 0.05 * torch.rand(image.shape, generator=torch.Generator().manual_seed(1))
    changed = image.clone()
    changed[0, 0, 3 * 14 : 4 * 14, 12 * 14 : 13 * 14] = 0.9
    moved = (backbone.embed(changed)[0] - backbone.embed(image)[0])[0].norm(dim=1)
    assert moved.argmax().item() == 3 * 16 + 12


def test_cls_sees_the_bird_more_than_the_background(backbone: Backbone) -> None:
    """Same pose and background: another crown moves the CLS vector more than other noise does."""
    plain = Code("gray", "same", "same", "plain", "same", "short")
    images = [
        render(code, "sand", 1.0, np.random.default_rng(4)).image
        for code in (plain, plain._replace(crown="red", wing="black"))
    ]
    noisy = np.asarray(images[0]).astype(int)
    noisy = noisy + np.random.default_rng(0).integers(-3, 4, noisy.shape)
    images.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    _, cls = backbone.embed(torch.stack([backbone.preprocess(image) for image in images]))
    assert (cls[0] - cls[1]).norm() > 3 * (cls[0] - cls[2]).norm()


def test_statistics_of_a_known_patch() -> None:
    """Halves of 0.2 and 0.8 in the first patch: mean 0.5, deviation 0.3, no skew, one edge."""
    image = torch.zeros(3, 224, 224)
    image[:, :14, :7], image[:, :14, 7:14] = 0.2, 0.8
    first = patch_statistics(image)[0]
    assert first[:3].tolist() == pytest.approx([0.5, 0, 0], abs=1e-6)
    assert first[3:6].tolist() == pytest.approx([0.3, 0, 0], abs=1e-3)
    assert first[6:9].tolist() == pytest.approx([0, 0, 0], abs=1e-2)
    histogram = first[9:17]
    assert histogram.argmax() == 0  # a vertical edge has a horizontal gradient
    assert first[-24:].square().sum().item() == pytest.approx(1, abs=1e-5)  # shares of colours


def test_orientation_has_no_sign() -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(1, 224, 224, generator=generator).expand(3, -1, -1)
    histogram, inverse = (patch_statistics(x)[:, 9:27] for x in (image, 1 - image))
    assert torch.allclose(histogram, inverse, atol=1e-3)


@pytest.mark.parametrize("size", [(224, 224), (500, 333), (37, 90), (1, 1), (224, 3000)])
def test_any_size_is_preprocessed(backbone: Backbone, size: tuple[int, int]) -> None:
    seen = backbone.preprocess(Image.new("RGB", size, (255, 128, 0)))
    assert seen.shape == (3, 224, 224)
    assert seen[:, 100, 100].tolist() == pytest.approx([1, 128 / 255, 0], abs=1e-6)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "1", "RGBA", "I;16", "YCbCr", "HSV"])
def test_any_mode_is_preprocessed(backbone: Backbone, mode: str) -> None:
    bird = _bird(3).convert("L").convert("RGB")
    if mode == "I;16":
        other = Image.fromarray(np.asarray(bird.convert("L")).astype(np.uint16) * 257)
    elif mode == "P":
        other = bird.quantize(256)  # all the greys there are
    else:
        other = bird.convert(mode)
    expected = bird.convert("1").convert("RGB") if mode == "1" else bird
    difference = backbone.preprocess(other) - backbone.preprocess(expected)
    assert difference.abs().max().item() < 0.05


def test_a_turned_photo_is_seen_upright(backbone: Backbone, tmp_path: Path) -> None:
    bird, exif = _bird(5), Image.Exif()
    exif[ExifTags.Base.Orientation] = 3  # half a turn
    bird.rotate(180).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        assert torch.equal(backbone.preprocess(turned), backbone.preprocess(bird))


@pytest.mark.slow
def test_the_shipped_constants_are_those_of_calibration(tmp_path: Path) -> None:
    """Compared by what no choice of axes changes: products of tokens, to 0.1 % of their scale.

    Rounding may turn nearly equal principal axes into each other, so entries are not compared.
    """
    calibrate(tmp_path / "again.safetensors")
    again, shipped = PatchDescriptor(tmp_path / "again.safetensors"), PatchDescriptor()
    found, expected = load_file(tmp_path / "again.safetensors"), load_file(WEIGHTS)
    for name in ("statistic_mean", "statistic_scale"):
        assert torch.allclose(found[name], expected[name], rtol=1e-4, atol=1e-6)
    image = shipped.preprocess(_bird(9))[None]
    one, other = again.embed(image)[0][0], shipped.embed(image)[0][0]
    assert torch.allclose(one @ one.T, other @ other.T, atol=0.001 * 96)


def test_damaged_constants_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no constants at .*gone\.safetensors: install"):
        PatchDescriptor(tmp_path / "gone.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    shutil.copy(WEIGHTS, damaged)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"damaged\.safetensors is damaged"):
        PatchDescriptor(damaged)
    save_file({"offset": torch.zeros(96)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"has arrays .*offset.* expected .*projection"):
        PatchDescriptor(tmp_path / "other.safetensors")
