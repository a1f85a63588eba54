"""Drawing feature maps over images: shapes, ranges, and heat where the map is hot."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from qpmstudy.errors import DataError
from qpmstudy.explain.captions import CAPTION_HEIGHT, GAP, Tile, sheet
from qpmstudy.explain.overlays import PALETTE, colour, heat, seen_picture, tinted

MAPS = arrays(np.float32, 12, elements=st.floats(0, 8, width=32))


@given(feature_map=MAPS, peak=st.floats(0, 10))
def test_heat_is_a_share_of_the_peak(feature_map: np.ndarray, peak: float) -> None:
    found = heat(feature_map, (3, 4), peak, 24)
    assert found.shape == (24, 24)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


def test_heat_is_where_the_map_is() -> None:
    """Patches are row-major over the grid: the second of twelve lies in the first row."""
    feature_map = np.zeros(12, np.float32)
    feature_map[1], feature_map[10] = 1.0, 0.5
    found = heat(feature_map, (3, 4), 1.0, 240)
    centre = {patch: found[40 + 80 * (patch // 4), 30 + 60 * (patch % 4)] for patch in range(12)}
    assert centre[1] > 0.9
    assert 0.4 < centre[10] < 0.6
    assert all(value < 0.1 for patch, value in centre.items() if patch not in (1, 10))


def test_a_feature_that_hardly_fires_looks_like_one() -> None:
    faint = heat(np.full(4, 0.1, np.float32), (2, 2), 2.0, 8)
    np.testing.assert_allclose(faint, 0.05, atol=1e-6)
    dead = heat(np.zeros(4, np.float32), (2, 2), 0.0, 8)
    assert (dead == 0).all()


def test_pictures_are_dimmed_where_nothing_fires_and_tinted_where_it_does() -> None:
    picture = np.full((8, 8, 3), 200, np.uint8)
    hot = np.zeros((8, 8), np.float32)
    hot[:, 4:] = 1
    found = tinted(picture, [hot], [(255, 0, 0)])
    assert found.shape == (8, 8, 3)
    assert found.dtype == np.uint8
    left, right = found[0, 0].astype(int), found[0, 7].astype(int)
    assert left.max() - left.min() <= 1  # grey stays grey
    assert left.max() < 200
    assert right[0] > 220
    assert right[1] < 120
    assert (picture == 200).all()


def test_more_heat_more_colour() -> None:
    picture = np.full((2, 2, 3), 128, np.uint8)
    reds = []
    for level in (0.0, 0.25, 0.5, 1.0):
        found = tinted(picture, [np.full((2, 2), level, np.float32)], [(255, 0, 0)])[0, 0]
        reds.append(int(found[0]) - int(found[1]))
    assert all(low < high for low, high in pairwise(reds))


def test_features_share_a_place_by_their_heat() -> None:
    picture = np.zeros((1, 1, 3), np.uint8)
    heats = [np.full((1, 1), level, np.float32) for level in (0.9, 0.3)]
    red, green, blue = tinted(picture, heats, [(255, 0, 0), (0, 255, 0)])[0, 0].astype(int)
    assert red > 2 * green > 0
    assert blue <= 20


def test_no_two_features_have_one_colour() -> None:
    colours = [colour(position) for position in range(40)]
    assert len(set(colours)) == 40
    assert tuple(colours[: len(PALETTE)]) == PALETTE
    assert all(0 <= channel <= 255 for one in colours for channel in one)


def test_the_picture_is_what_the_backbone_sees() -> None:
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))  # the centred square
    seen = seen_picture(image, {"resize": 224, "crop": 224}, 50)
    assert seen.shape == (50, 50, 3)
    assert (seen[5:-5, 5:-5] == (0, 0, 255)).all()
    half = seen_picture(image, {"resize": 200, "crop": 100}, 50)
    assert (half == (0, 0, 255)).all()
    with pytest.raises(DataError, match="resize"):
        seen_picture(image, {}, 50)


def test_a_sheet_has_room_for_every_tile() -> None:
    tile = Tile(np.full((30, 30, 3), 7, np.uint8), "title " * 20, "below", (255, 0, 0))
    page = sheet([[tile], [tile, tile, tile]])
    assert page.size == (GAP + 3 * (30 + GAP), GAP + 2 * (CAPTION_HEIGHT + 30 + GAP))
    pixels = np.asarray(page)
    top = GAP + CAPTION_HEIGHT
    assert (pixels[top : top + 30, GAP : GAP + 30] == 7).all()
    assert (pixels[top : top + 30, 2 * GAP + 30 :] == 255).all()  # the first row has one
    last = GAP + 2 * (30 + GAP)
    assert (pixels[-30 - GAP : -GAP, last : last + 30] == 7).all()
    between = pixels[:, GAP + 30 : 2 * GAP + 30]
    assert (between == 255).all()  # long titles are cut, not written across
