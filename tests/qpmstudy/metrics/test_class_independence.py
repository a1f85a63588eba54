import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qpmstudy.metrics import class_independence, dead_features

Golden = Callable[[str], dict[str, np.ndarray]]


def test_it_is_the_references_and_the_papers(golden: Golden) -> None:
    arrays = golden("04_class_independence")
    features, labels = arrays["in_features"], arrays["in_labels"]
    single = class_independence(features, labels)
    assert single == pytest.approx(float(arrays["out_tau_features"]), abs=2e-5)
    assert single == pytest.approx(float(arrays["out_tau_features_live_path"]), abs=2e-5)
    double = class_independence(torch.from_numpy(features).double(), torch.from_numpy(labels))
    assert double == pytest.approx(float(arrays["paper_tau_features"]), abs=1e-6)
    assert double == pytest.approx(float(arrays["out_tau_features_f64"]), abs=1e-6)
    assert double == pytest.approx(1 - arrays["paper_phi_features"].max(0).mean(), abs=1e-10)


def test_dead_features_are_left_out_where_the_reference_counts_them_as_independent(
    golden: Golden,
) -> None:
    arrays = golden("04_class_independence")
    features, labels = arrays["in_features_edge"], arrays["in_labels"]
    tau = class_independence(features, labels)
    assert dead_features(features) == 2
    wanted = 1 - np.nanmean(arrays["paper_phi_features_edge"].max(0))
    assert tau == pytest.approx(wanted, abs=1e-6)
    assert (12 * tau + 2) / 14 == pytest.approx(float(arrays["out_tau_features_edge"]), abs=2e-5)


def test_on_pooled_maps_it_is_the_references(golden: Golden) -> None:
    arrays = golden("03_sid_batch300_quirk")
    tau = class_independence(arrays["maps"].mean(1), arrays["in_labels"])
    assert tau == pytest.approx(float(arrays["out_qpm_metrics_class_independence"]), abs=2e-5)


def test_features_of_one_class_score_nothing_and_shared_ones_much() -> None:
    labels = np.repeat(np.arange(4), 5)
    own = (labels[:, None] == np.arange(4)).astype(np.float32)
    assert class_independence(own, labels) == pytest.approx(0)
    shared = np.tile(np.arange(5, dtype=np.float32), 4)[:, None]
    assert class_independence(shared, labels) == pytest.approx(3 / 4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_scale_shift_and_names_of_classes_do_not_matter(
    seed: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    features, labels = rng.random((40, 3)), rng.integers(0, 5, 40)
    tau = class_independence(features, labels)
    assert 0 <= tau < 1
    assert class_independence(scale * features + shift, labels) == pytest.approx(tau, abs=1e-9)
    assert class_independence(features, rng.permutation(9)[labels]) == pytest.approx(tau, abs=1e-9)


def test_without_a_live_feature_it_is_undefined() -> None:
    assert math.isnan(class_independence(np.ones((4, 2)), np.array([0, 1, 0, 1])))
