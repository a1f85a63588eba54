"""Object masks on the patch grid, in the geometry of the backbone's preprocessing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qpmstudy.backbones.geometry import seen_box
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.errors import DataError
from qpmstudy.masks import mask_to_grid, mask_to_grid_reference

SEEN_ALL = {"resize": 224, "crop": 224}


def test_half_of_a_tokens_pixels_decide() -> None:
    mask = np.zeros((224, 224), bool)
    mask[0:14, 0:7] = True  # half of token (0, 0)
    mask[0:14, 14:20] = True  # less than half of token (0, 1)
    mask[28:42, 0:14] = True  # all of token (2, 0)
    tokens = mask_to_grid(mask, (16, 16), SEEN_ALL).reshape(16, 16)
    assert np.argwhere(tokens).tolist() == [[0, 0], [2, 0]]
    assert tokens.dtype == np.uint8


def test_a_square_is_cut_from_the_middle() -> None:
    mask = np.zeros((100, 300), bool)
    mask[:, 100:200] = True
    assert mask_to_grid(mask, (4, 4), SEEN_ALL).all()
    assert mask_to_grid(~mask, (4, 4), SEEN_ALL).sum() == 0


def test_a_crop_is_smaller_than_the_resized_image() -> None:
    """Resize 256, crop 224: a border of 1/16 of the side is not seen."""
    mask = np.ones((256, 256), bool)
    mask[16:240, 16:240] = False
    assert mask_to_grid(mask, (16, 16), {"resize": 256, "crop": 224}).sum() == 0
    assert mask_to_grid(mask, (16, 16), {"resize": 256, "crop": 256}).sum() > 0


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(200, 500),
    width=st.integers(200, 500),
    left=st.floats(0, 0.8),
    top=st.floats(0, 0.8),
    extent=st.floats(0.2, 0.7),
)
def test_a_mask_follows_its_image(
    height: int, width: int, left: float, top: float, extent: float
) -> None:
    """A token is the object's where the backbone's own input is mostly object."""
    backbone = open_backbone("patch-descriptor")
    mask = np.zeros((height, width), bool)
    rows = slice(int(top * height), int((top + extent) * height))
    mask[rows, int(left * width) : int((left + extent) * width)] = True
    picture = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    seen = backbone.preprocess(picture)[0]
    share = torch.nn.functional.avg_pool2d(seen[None], 14).flatten().numpy()
    tokens = mask_to_grid(mask, backbone.grid, backbone.preprocessing)
    clear = np.abs(share - 0.5) > 0.1  # resampling is not exact at the threshold itself
    assert np.array_equal(tokens[clear], (share > 0.5)[clear])


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(40, 300), st.integers(40, 300)),
    grid=st.tuples(st.integers(1, 37), st.integers(1, 37)),
    crop=st.integers(150, 256),
    edge=st.floats(0, 1),
    turned=st.booleans(),
)
def test_half_of_a_token_decides_on_any_grid_and_crop(
    size: tuple[int, int], grid: tuple[int, int], crop: int, edge: float, turned: bool
) -> None:
    """A straight edge: a token is the object's where its centre is, to a pixel."""
    height, width = size
    preprocessing: dict[str, object] = {"resize": 256, "crop": crop}
    extent, cells = (height, grid[0]) if turned else (width, grid[1])
    border = round(edge * extent)
    mask = np.zeros((height, width), bool)
    mask[(slice(border),) if turned else (slice(None), slice(border))] = True
    side = min(height, width) * crop / 256
    centres = (extent - side) / 2 + (np.arange(cells) + 0.5) * side / cells
    tokens = mask_to_grid(mask, grid, preprocessing).reshape(grid)
    line = tokens[:, 0] if turned else tokens[0]
    assert (tokens == (line[:, None] if turned else line)).all()
    clear = np.abs(border - centres) > 1  # a pixel counts whole, where its centre is
    assert np.array_equal(line[clear], (centres < border)[clear])


def test_close_to_the_reference_implementation() -> None:
    """Its rule: bilinear sampling of the grey image at token centres, above 0 (fixture 06)."""
    fixture = np.load(Path(__file__).parents[1] / "parity" / "06_mask_tokenisation.npz")
    for number in range(3):
        grey, expected = fixture[f"in_gray_{number}"], fixture[f"out_tokens_{number}"]
        # The fixture squeezes the whole image into the grid; so does a square copy of it.
        side = max(grey.shape)
        square = Image.fromarray(grey).resize((side, side), Image.Resampling.NEAREST)
        tokens = mask_to_grid(np.asarray(square) > 0, (16, 16), SEEN_ALL).reshape(16, 16)
        assert (tokens != expected).mean() < 0.05


@pytest.mark.parametrize("number", range(3))
def test_the_references_own_rule(number: int) -> None:
    fixture = np.load(Path(__file__).parents[1] / "parity" / "06_mask_tokenisation.npz")
    tokens = mask_to_grid_reference(fixture[f"in_gray_{number}"], (16, 16))
    assert np.array_equal(tokens.reshape(16, 16), fixture[f"out_tokens_{number}"])


def test_the_references_rule_on_a_grid_that_is_not_square() -> None:
    grey = np.zeros((40, 60), np.uint8)
    grey[4:6, 14:16] = 1  # the four pixels at the centre of token (0, 1) of 4 x 6
    grey[20:40, 0:4] = 255  # much of token (2, 0), but not its centre
    tokens = mask_to_grid_reference(grey, (4, 6)).reshape(4, 6)
    assert np.argwhere(tokens).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "preprocessing", [{}, {"resize": 224}, {"resize": 200, "crop": 224}, {"resize": 0, "crop": 0}]
)
def test_preprocessing_must_say_what_is_seen(preprocessing: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"needs integers 0 < crop <= resize"):
        seen_box(100, 100, preprocessing)
