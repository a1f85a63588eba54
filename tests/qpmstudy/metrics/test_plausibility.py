import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qpmstudy.errors import ConfigError
from qpmstudy.metrics import PlausibilityMean, plausibility
from qpmstudy.metrics.plausibility import dilated, weighted_maps

Golden = Callable[[str], dict[str, np.ndarray]]
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
GRID = (16, 16)
HEADS = ["06_plausibility_binary", "06_plausibility_dense"]


def case(arrays: dict[str, np.ndarray], dtype: type = np.float64) -> Case:
    maps, weight = arrays["maps"].astype(dtype), arrays["in_weights"].astype(dtype)
    return maps, weight, arrays["in_pred"], arrays["in_masks"].reshape(len(maps), -1)


def per_image(of: Case, shifted: bool = False) -> list[float]:
    maps, weight, predicted, masks = of
    parts = [slice(i, i + 1) for i in range(len(maps))]
    return [plausibility(maps[i], weight, predicted[i], masks[i], GRID, shifted) for i in parts]


@pytest.mark.parametrize("name", HEADS)
def test_it_is_the_papers(name: str, golden: Golden) -> None:
    arrays = golden(name)
    maps, weight, predicted, masks = case(arrays)
    evidence = weighted_maps(maps, weight, predicted)
    wanted = arrays["paper_weighted_map"].reshape(evidence.shape)
    np.testing.assert_allclose(evidence, wanted, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(
        dilated(masks, GRID), arrays["paper_dilated_masks"].reshape(masks.shape)
    )
    each = per_image((maps, weight, predicted, masks))
    wanted = np.nan_to_num(arrays["paper_plausibility_per_image"])
    assert each == pytest.approx(wanted, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", HEADS)
def test_an_empty_map_counts_as_zero_and_is_counted(name: str, golden: Golden) -> None:
    arrays = golden(name)
    maps, weight, predicted, masks = case(arrays)
    mean = PlausibilityMean(weight, GRID)
    mean.update(maps, predicted, masks)
    assert (mean.images, mean.empty) == (8, 1)
    zero = float(arrays["paper_plausibility_mean_zero_for_undefined"])
    assert mean.value() == pytest.approx(zero, abs=1e-10)
    defined = float(arrays["paper_plausibility_mean_defined"])
    assert mean.value() * 8 / 7 == pytest.approx(defined, abs=1e-10)


@pytest.mark.parametrize("name", HEADS)
def test_the_images_own_values_are_kept(name: str, golden: Golden) -> None:
    arrays = golden(name)
    maps, weight, predicted, masks = case(arrays)
    mean = PlausibilityMean(weight, GRID)
    assert mean.shares().shape == (0,)
    for part in (slice(0, 3), slice(3, 8)):
        mean.update(maps[part], predicted[part], masks[part])
    wanted = np.nan_to_num(arrays["paper_plausibility_per_image"])
    np.testing.assert_allclose(mean.shares().numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_the_shifted_variant_is_the_references(name: str, golden: Golden) -> None:
    arrays = golden(name)
    of = case(arrays, np.float32)
    value = plausibility(*of, GRID, shifted=True)
    for key in ("out_gradcam_dilated", "out_live_gradcam_dilated"):
        assert value == pytest.approx(float(arrays[key]), abs=1e-5)
    each = per_image(of, shifted=True)
    assert each == pytest.approx(arrays["out_gradcam_dilated_per_image"], abs=1e-5)
    np.testing.assert_array_equal(
        dilated(of[3], GRID), arrays["out_dilated_masks"].reshape(of[3].shape)
    )


def random_case(seed: int, signed: bool = False) -> Case:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(3, 5)) if signed else rng.random((3, 5))
    masks = (rng.random((7, 12)) < 0.15).astype(np.uint8)
    return rng.random((7, 12, 5)), weight, rng.integers(0, 3, 7), masks


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), signed=st.booleans(), cut=st.integers(1, 6))
def test_batches_make_no_difference(seed: int, signed: bool, cut: int) -> None:
    maps, weight, predicted, masks = random_case(seed, signed)
    for shifted in (False, True):
        mean = PlausibilityMean(weight, (3, 4), shifted)
        for part in (slice(0, cut), slice(cut, None)):
            mean.update(torch.from_numpy(maps[part]), predicted[part], masks[part])
        whole = plausibility(maps, weight, predicted, masks, (3, 4), shifted)
        assert mean.value() == pytest.approx(whole, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_inside_and_outside_make_one_and_the_decisions_scale_drops_out(seed: int) -> None:
    maps, weight, predicted, masks = random_case(seed)
    value = plausibility(maps, weight, predicted, masks, (3, 4))
    assert 0 <= value <= 1
    assert plausibility(maps, 9 * weight, predicted, masks > 0, (3, 4)) == pytest.approx(value)
    assert plausibility(maps, weight, predicted, np.ones_like(masks), (3, 4)) == pytest.approx(1)
    assert plausibility(maps, weight, predicted, np.zeros_like(masks), (3, 4)) == 0


def test_signed_weights_follow_the_formula_out_of_the_unit_interval() -> None:
    maps = np.zeros((1, 16, 2))
    maps[0, 0, 0], maps[0, 15, 1] = 3, 1
    masks = np.zeros((1, 16), dtype=np.uint8)
    masks[0, 0] = 1
    weight, predicted = np.array([[1.0, -1.0]]), np.array([0])
    assert plausibility(maps, weight, predicted, masks, (4, 4)) == pytest.approx(3 / 2)
    # G - min G: 4 at the first patch, 0 at the last, 1 at the 14 others, 3 of them beside it
    shifted = plausibility(maps, weight, predicted, masks, (4, 4), shifted=True)
    assert shifted == pytest.approx(7 / 18)


def test_dilation_follows_rows_and_columns_of_the_grid() -> None:
    masks = np.zeros((1, 15), dtype=bool)
    masks[0, 4] = True  # last column of the first row: nothing wraps around
    wanted = np.zeros((3, 5), dtype=bool)
    wanted[:2, 3:] = True
    np.testing.assert_array_equal(dilated(masks, (3, 5))[0], wanted.ravel())


def test_half_precision_maps_are_summed_in_full() -> None:
    maps = np.full((1, 400, 300), 200, dtype=np.float16)  # the sum over features overflows half
    masks = np.ones((1, 400), dtype=np.uint8)
    value = plausibility(maps, np.ones((1, 300), np.float32), np.array([0]), masks, (20, 20))
    assert value == pytest.approx(1)


def test_a_grid_of_other_size_is_refused() -> None:
    maps, weight, predicted, masks = random_case(0)
    with pytest.raises(ConfigError, match="grid of 3 x 5 has 15 patches, but the masks have 12"):
        plausibility(maps, weight, predicted, masks, (3, 5))


def test_without_images_it_is_undefined() -> None:
    assert math.isnan(PlausibilityMean(np.ones((2, 3)), (2, 2)).value())
