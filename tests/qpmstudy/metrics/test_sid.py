import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qpmstudy.errors import ConfigError
from qpmstudy.metrics import SidMean, sid

Golden = Callable[[str], dict[str, np.ndarray]]
HEADS = ["03_sid_dense", "03_sid_binary", "03_sid_unequal_signed"]
# Without equal weights among which k could choose.
TIE_FREE = [("03_sid_dense", k) for k in range(1, 6)] + [
    ("03_sid_binary", 5),
    ("03_sid_unequal_signed", 1),
]


@pytest.mark.parametrize("k", range(1, 6))
@pytest.mark.parametrize("name", HEADS)
def test_each_image_is_the_references_given_its_choice_among_equals(
    name: str, k: int, golden: Golden
) -> None:
    """A bonus on the features that the reference took puts them before their equals."""
    arrays = golden(name)
    weight = arrays["in_weights"].copy()
    rows = np.arange(len(weight))[:, None]
    weight[rows, arrays[f"out_topk_idx_k{k}"]] += 1e-3
    for image, wanted in enumerate(arrays[f"out_per_image_k{k}"]):
        one = slice(image, image + 1)
        if not np.isnan(wanted):
            value = sid(arrays["maps"][one], weight, arrays["predicted"][one], k)
            assert value == pytest.approx(wanted, abs=1e-5)
            paper = arrays[f"paper_per_image_k{k}"][image]
            assert name == "03_sid_unequal_signed" or value == pytest.approx(paper, abs=1e-5)


@pytest.mark.parametrize(("name", "k"), TIE_FREE)
def test_the_mean_is_the_references(name: str, k: int, golden: Golden) -> None:
    arrays = golden(name)
    value = sid(arrays["maps"], arrays["in_weights"], arrays["predicted"], k)
    for key in ("out_sid_k", "out_sid_k_batched", "paper_sid_k_only_classes_with_k_nonzeros"):
        assert value == pytest.approx(arrays[key][k - 1], abs=1e-5)
    if name != "03_sid_unequal_signed":
        assert value == pytest.approx(arrays["paper_sid_k"][k - 1], abs=1e-5)
        assert k != 5 or value == pytest.approx(float(arrays["out_sid5_live_path"]), abs=1e-5)


@pytest.mark.parametrize("k", range(1, 6))
def test_classes_with_fewer_than_k_weights_are_left_out(k: int, golden: Golden) -> None:
    arrays = golden("03_sid_unequal_signed")
    mean = SidMean(arrays["in_weights"], k)
    mean.update(arrays["maps"], arrays["predicted"])
    assert mean.images == arrays["out_n_used_k"][k - 1]
    assert mean.images + mean.left_out == 24
    enough = (arrays["in_weights"] != 0).sum(1)[arrays["predicted"]] >= k
    of_those = sid(arrays["maps"][enough], arrays["in_weights"], arrays["predicted"][enough], k)
    assert mean.value() == pytest.approx(of_those, abs=1e-12)


def test_every_image_counts_whatever_the_batches(golden: Golden) -> None:
    """The reference's unused evaluation drops the last partial batch of 300."""
    arrays = golden("03_sid_batch300_quirk")
    maps, weight, predicted = arrays["maps"], arrays["in_weights"], arrays["predicted"]
    mean = SidMean(weight)
    for start in range(0, 340, 100):
        mean.update(torch.from_numpy(maps[start : start + 100]), predicted[start : start + 100])
    assert mean.value() == pytest.approx(float(arrays["out_sid_k_all_images"][4]), abs=1e-5)
    first = sid(maps[:300], weight, predicted[:300])
    assert first == pytest.approx(float(arrays["out_sid_k_first_300"][4]), abs=1e-5)
    assert first == pytest.approx(float(arrays["out_qpm_metrics_SID"]), abs=1e-5)


def peaks(*patches: int) -> np.ndarray:
    """One image of 64 patches with a map that is on in one patch for each argument."""
    maps = np.zeros((1, 64, len(patches)), dtype=np.float32)
    for feature, patch in enumerate(patches):
        maps[0, patch, feature] = 5
    return maps


def test_apart_is_one_and_together_is_one_share() -> None:
    weight, predicted = np.ones((2, 4), np.float32), np.array([1])
    assert sid(peaks(0, 1, 2, 3), weight, predicted, k=4) == pytest.approx(1, abs=1e-6)
    assert sid(peaks(7, 7, 7, 7), weight, predicted, k=4) == pytest.approx(1 / 4, abs=1e-6)


def test_of_equal_weights_the_smaller_index_goes_first() -> None:
    weight, predicted = np.ones((1, 4), np.float32), np.array([0])
    assert sid(peaks(0, 1, 1, 1), weight, predicted, k=2) == pytest.approx(1, abs=1e-6)
    assert sid(peaks(1, 1, 0, 2), weight, predicted, k=2) == pytest.approx(1 / 2, abs=1e-6)


def test_a_negative_weight_ranks_last_however_large() -> None:
    weight, predicted = np.array([[-9, 1, 2]], np.float32), np.array([0])
    assert sid(peaks(1, 1, 2), weight, predicted, k=2) == pytest.approx(1, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 5), cut=st.integers(1, 6))
def test_bounds_scale_and_batches(seed: int, k: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    maps, weight = rng.random((7, 9, 5)), rng.normal(size=(3, 5))
    predicted = rng.integers(0, 3, 7)
    value = sid(maps, weight, predicted, k)
    assert 1 / k - 1e-9 <= value <= 1 + 1e-9
    assert sid(maps * rng.uniform(0.1, 9, 5), weight, predicted, k) == pytest.approx(value)
    mean = SidMean(torch.from_numpy(weight), k)
    mean.update(maps[:cut], predicted[:cut])
    mean.update(maps[cut:], predicted[cut:])
    assert mean.value() == pytest.approx(value, rel=1e-9)


def test_empty_maps_are_uniform_not_undefined() -> None:
    maps = np.zeros((1, 9, 3), np.float16)
    value = sid(maps, np.ones((1, 3), np.float32), np.array([0]), k=3)
    assert value == pytest.approx(1 / 3)


def test_it_is_undefined_when_no_class_has_k_weights() -> None:
    mean = SidMean(np.eye(3, dtype=np.float32), k=2)
    mean.update(np.ones((2, 4, 3), np.float32), np.array([0, 2]))
    assert (mean.images, mean.left_out) == (0, 2)
    assert math.isnan(mean.value())


@pytest.mark.parametrize("k", [0, 4])
def test_k_must_be_a_number_of_features(k: int) -> None:
    with pytest.raises(ConfigError, match=rf"between 1 and the number of features \(3\), not {k}"):
        SidMean(np.ones((2, 3), np.float32), k)
