import importlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qpmstudy.metrics import contrastiveness, dead_features
from qpmstudy.metrics.contrastiveness import fit_mixtures, overlaps

Golden = Callable[[str], dict[str, np.ndarray]]


def fitted_overlaps(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    _, mean, variance = fit_mixtures((features - features.mean(0)) / features.std(0))
    return overlaps(mean, np.sqrt(variance))


def test_overlaps_of_given_gaussians(golden: Golden) -> None:
    arrays = golden("05_contrastiveness")
    first, second = arrays["in_sigma1"], arrays["in_sigma2"]
    deviations = np.stack([first, np.where(second == 0, first, second)])
    got = overlaps(np.stack([arrays["in_mu1"], arrays["in_mu2"]]), deviations)
    np.testing.assert_allclose(got, arrays["out_overlap_of_given_gaussians"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        got, arrays["own_overlap_of_given_gaussians_numeric"], rtol=0, atol=1e-6
    )


def test_overlaps_of_the_references_own_fits(golden: Golden) -> None:
    arrays = golden("05_contrastiveness")
    means = arrays["out_gmm_means_rs0"].T.astype(np.float64)
    deviations = np.sqrt(arrays["out_gmm_vars_rs0"].T.astype(np.float64))
    got = overlaps(means, deviations)
    np.testing.assert_allclose(got, arrays["out_overlap_rs0"], rtol=0, atol=1e-6)


def test_fitted_overlaps_are_the_references_where_those_do_not_scatter(golden: Golden) -> None:
    arrays = golden("05_contrastiveness")
    got = fitted_overlaps(arrays["in_features"])
    settled = arrays["own_overlap_std"] == 0
    assert settled.sum() >= 8
    wanted = arrays["out_overlap_rs0"]
    np.testing.assert_allclose(got[settled], wanted[settled], rtol=0, atol=1e-3)
    assert (got >= arrays["own_overlap_min"] - 0.02).all()
    assert (got <= arrays["own_overlap_max"] + 0.02).all()
    runs = arrays["out_contrastiveness_runs"]
    assert runs.min() - 0.01 <= contrastiveness(arrays["in_features"]) <= runs.max() + 0.01


def test_fitted_mixtures_are_scikit_learns_where_those_do_not_scatter(golden: Golden) -> None:
    arrays = golden("05_contrastiveness")
    settled = arrays["out_overlap_runs"].std(0) == 0
    features = arrays["in_features"].astype(np.float64)[:, settled]
    got = fit_mixtures(features)
    for ours, key in zip(got, ("weights", "means", "vars"), strict=True):
        wanted = np.take_along_axis(
            arrays[f"out_gmm_{key}_rs0"][settled],
            arrays["out_gmm_means_rs0"][settled].argsort(1),
            axis=1,
        )
        np.testing.assert_allclose(ours.T, wanted, rtol=0, atol=1e-3)


def test_dead_features_are_left_out_and_a_spike_is_not(golden: Golden) -> None:
    """The reference scores a constant as worst (overlap 1) at 0 and as perfect elsewhere."""
    arrays = golden("05_contrastiveness")
    dead = arrays["in_features_dead"]
    assert arrays["out_overlap_dead_runs"][0].tolist() == pytest.approx([1, 0, 0])
    assert dead_features(dead) == 2
    assert contrastiveness(dead) == pytest.approx(1, abs=1e-6)
    assert math.isnan(contrastiveness(dead[:, :2]))
    together = np.concatenate([arrays["in_features"], dead[:, :2]], axis=1)
    alone = contrastiveness(arrays["in_features"])
    assert contrastiveness(together) == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("numbers", [1, 400, 1000])
def test_features_are_fitted_in_blocks_of_any_size(
    golden: Golden, monkeypatch: pytest.MonkeyPatch, numbers: int
) -> None:
    features = golden("05_contrastiveness")["in_features"]
    whole = contrastiveness(features)
    module = importlib.import_module("qpmstudy.metrics.contrastiveness")
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", numbers)
    assert contrastiveness(features) == pytest.approx(whole, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5))
def test_scale_shift_sign_and_order_do_not_matter(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    off, on = rng.normal(0, 1, (60, 3)), rng.normal(rng.uniform(2, 8, 3), 1, (30, 3))
    features = np.concatenate([off, on])
    value = contrastiveness(features)
    assert 0 <= value <= 1
    assert contrastiveness(torch.from_numpy(scale * features + shift)) == pytest.approx(value)
    assert contrastiveness(rng.permutation(-features)) == pytest.approx(value, abs=1e-3)


def test_two_separate_groups_are_found_exactly() -> None:
    rng = np.random.default_rng(3)
    features = np.concatenate([rng.normal(0, 1, (4000, 1)), rng.normal(30, 2, (1000, 1))])
    share, mean, variance = fit_mixtures(features)[:, :, 0]
    assert share == pytest.approx([0.8, 0.2])
    assert mean == pytest.approx([0, 30], abs=0.2)
    assert variance == pytest.approx([1, 4], rel=0.1)
    assert contrastiveness(features) == pytest.approx(1, abs=1e-6)
