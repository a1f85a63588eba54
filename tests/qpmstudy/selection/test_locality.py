import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from selection_problems import PARITY
from torch import Tensor

from qpmstudy.errors import ConfigError, DataError
from qpmstudy.selection.locality import (
    LARGEST,
    border_patches,
    clipped_and_scaled,
    locality_and_border,
    locality_bias,
)

GRID = (6, 6)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return dict(np.load(PARITY / "08_locality_bias_b.npz"))


def batches(maps: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    return ((part, part.mean(1)) for part in maps.split(size))


def golden_maps(arrays: dict[str, np.ndarray]) -> Tensor:
    return torch.from_numpy(arrays["in_feature_maps"]).flatten(2).mT


@pytest.mark.parametrize("size", [64, 150, 7, 1])
def test_raw_values_are_the_golden_ones_for_any_batches(arrays, size):
    """150 images: with 64 or 7 the last batch is partial, where the reference takes wrong rows."""
    locality, border = locality_and_border(batches(golden_maps(arrays), size), GRID)
    golden = arrays["own_locality_raw_correct_weights"]
    np.testing.assert_allclose(locality, golden, rtol=0, atol=1e-8)
    np.testing.assert_allclose(border, arrays["out_edge_raw"], rtol=0, atol=1e-5)
    assert np.abs(locality - arrays["out_locality_raw"]).max() > 1e-4


def test_scaling_is_the_references(arrays):
    for name in ("locality", "edge"):
        scaled = clipped_and_scaled(arrays[f"out_{name}_raw"])
        np.testing.assert_allclose(scaled, arrays[f"out_{name}_scaled"], rtol=0, atol=1e-4)
    locality, edge = arrays["out_locality_scaled"], arrays["out_edge_scaled"]
    bias = clipped_and_scaled(np.where(edge >= 0, locality, locality.min()))
    np.testing.assert_allclose(bias, arrays["out_bias"], rtol=0, atol=1e-4)


def test_bias_follows_from_the_golden_raw_values(arrays):
    bias = locality_bias(batches(golden_maps(arrays), 64), GRID)
    locality = clipped_and_scaled(arrays["own_locality_raw_correct_weights"])
    edge = arrays["out_edge_scaled"]
    expected = clipped_and_scaled(np.where(edge >= 0, locality, locality.min()))
    np.testing.assert_allclose(bias, expected, rtol=0, atol=1e-5)
    assert np.abs(bias).max() == pytest.approx(LARGEST)


def spread_maps(seed: int = 0) -> Tensor:
    """Return maps of 40 images and 8 features; feature 0 peaks in the middle, 1 in a corner."""
    maps = torch.rand(40, 36, 8, generator=torch.Generator().manual_seed(seed))
    maps[:, 14, 0] += 6
    maps[:, 0, 1] += 6
    return maps


def test_a_local_feature_is_favoured_and_one_at_the_border_is_not():
    bias = locality_bias(batches(spread_maps(), 16), GRID)
    assert bias.argmax() == 0
    assert bias[1] == bias.min()
    assert bias[0] > bias[1]


def test_a_dead_feature_gets_the_lowest_and_moves_no_other():
    maps = spread_maps()
    silent = torch.cat([maps, torch.zeros(40, 36, 30)], dim=2)
    bias, with_dead = (locality_bias(batches(each, 16), GRID) for each in (maps, silent))
    np.testing.assert_array_equal(with_dead[:8], bias)
    assert (with_dead[8:] == bias.min()).all()


def test_an_image_on_which_nothing_fires_counts_nothing():
    maps = spread_maps()
    dark = torch.cat([maps, torch.zeros(40, 36, 8)])
    one, other = (locality_and_border(batches(each, 16), GRID) for each in (maps, dark))
    np.testing.assert_allclose(other[0], one[0] / 2, rtol=1e-6)
    np.testing.assert_allclose(other[1], one[1], rtol=1e-6)


def test_only_one_batch_of_maps_is_held_at_a_time():
    alive: list[int] = []

    def stream() -> Iterator[tuple[Tensor, Tensor]]:
        references: list[weakref.ref[Tensor]] = []
        for part in spread_maps().split(4):
            maps = part.clone()
            references.append(weakref.ref(maps))
            alive.append(sum(reference() is not None for reference in references))
            yield maps, maps.mean(1)
            del maps

    locality_bias(stream(), GRID)
    assert len(alive) == 10
    assert max(alive) <= 2  # the batch before is let go of when the next one is bound


def test_equal_values_give_no_bias():
    assert not clipped_and_scaled(np.full(9, 0.3)).any()
    assert clipped_and_scaled(np.array([0.25])).tolist() == [0.0]


def test_outliers_take_the_magnitude_of_the_clusters_end_and_keep_their_sign():
    scaled = clipped_and_scaled(np.array([*[1.0] * 6, 0.2, 9.0, -5.0]))
    assert scaled[7] == scaled[0] == scaled.max()
    clipped = np.array([*[1.0] * 6, 0.2, 1.0, -0.2])
    centred = clipped - clipped.mean()
    np.testing.assert_allclose(scaled, centred / np.abs(centred).max() * LARGEST)


def test_the_border_is_the_outermost_ring():
    ring = border_patches((3, 4)).view(3, 4).int().tolist()
    assert ring == [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    assert border_patches((2, 2)).all()


def test_what_has_no_locality_is_refused():
    with pytest.raises(ConfigError, match="5 x 6 has 30 patches, but the feature maps have 36"):
        locality_bias(batches(spread_maps(), 16), (5, 6))
    with pytest.raises(DataError, match="no training image"):
        locality_bias(iter(()), GRID)
    with pytest.raises(DataError, match="No feature fires on any image"):
        locality_bias(batches(torch.zeros(3, 36, 2), 2), GRID)
