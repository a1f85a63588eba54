import numpy as np
import pytest
from glm_data import clustered
from hypothesis import given
from hypothesis import strategies as st
from selection_problems import PARITY

from qpmstudy.errors import SolverError
from qpmstudy.selection.glm import regularisation_path, standardise
from qpmstudy.selection.qsenn import balanced_bias, qsenn, quantise
from qpmstudy.selection.sldd import sldd

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(scope="module")
def arrays():
    return dict(np.load(PARITY / "12_qsenn_quantisation.npz"))


def test_weights_and_bias_equal_the_reference(arrays):
    last = arrays["in_weights"][-1]
    weight = quantise(last, int(arrays["in_per_class"]))
    np.testing.assert_allclose(weight, arrays["out_weight"], **CLOSE)
    np.testing.assert_allclose(weight, arrays["own_intended_weight"], **CLOSE)
    np.testing.assert_array_equal(weight != 0, np.abs(last) > arrays["own_threshold"])
    assert weight.max() == pytest.approx(float(arrays["own_level"]), rel=1e-6)
    np.testing.assert_array_equal((weight != 0).sum(1), arrays["own_nonzeros_per_class"])
    bias = balanced_bias(weight, arrays["in_biases"][-1])
    np.testing.assert_allclose(bias, arrays["out_bias"], **CLOSE)


def test_the_most_negative_weight_stays_negative(arrays):
    """The reference turns a weight of -max positive, and leaves it out of the mean."""
    last = arrays["in_weights_negmax"][-1]
    weight = quantise(last, 5)
    np.testing.assert_allclose(weight, arrays["own_intended_weight_negmax"], **CLOSE)
    theirs = arrays["out_weight_negmax"]
    (at,) = np.argwhere(np.sign(theirs) != np.sign(weight))
    assert last[tuple(at)] == last.min() == -np.abs(last).max()
    assert weight[tuple(at)] < 0 < theirs[tuple(at)]
    others = (weight != 0) & (last != last.min())
    assert theirs.max() == pytest.approx(np.abs(last[others]).mean(), rel=1e-6)
    bias = balanced_bias(weight, arrays["in_biases"][-1])
    same = np.arange(len(bias)) != at[0]
    np.testing.assert_allclose(bias[same], arrays["out_bias_negmax"][same], **CLOSE)
    counted = balanced_bias(theirs, arrays["in_biases"][-1])
    np.testing.assert_allclose(counted, arrays["out_bias_negmax"], **CLOSE)


def test_equal_counts_give_equal_biases(arrays):
    """The reference's are not a number."""
    weight = quantise(arrays["in_weights_equal_counts"][-1], 5)
    np.testing.assert_allclose(weight, arrays["out_weight_equal_counts"], **CLOSE)
    before = (arrays["in_weights_equal_counts"] != 0).sum()
    assert before == arrays["own_nonzeros_before_equal_counts"]
    assert (weight != 0).sum() == arrays["own_nonzeros_equal_counts"]
    assert np.isnan(arrays["out_bias_equal_counts"]).all()
    bias = balanced_bias(weight, arrays["in_biases"][-1])
    assert (bias == np.abs(arrays["in_biases"][-1]).max()).all()


@pytest.mark.parametrize("sign", ["positive", "negative"])
def test_with_too_few_weights_all_are_kept(arrays, sign):
    """The reference drops the smallest of them if it is positive."""
    last = arrays[f"in_weights_below_goal_{sign}"][-1]
    weight = quantise(last, 5)
    theirs = arrays[f"out_weight_below_goal_{sign}"]
    kept = last != 0
    assert kept.sum() == arrays[f"own_nonzeros_before_below_goal_{sign}"]
    np.testing.assert_array_equal(np.sign(weight), np.sign(last))
    assert weight.max() == pytest.approx(np.abs(last[kept]).mean(), rel=1e-6)
    smallest = np.abs(last) == np.abs(last[kept]).min()
    dropped = kept & (theirs == 0)
    np.testing.assert_array_equal(dropped, smallest & (last > 0))
    assert dropped.any() == (sign == "positive")
    assert (theirs != 0).sum() == arrays[f"own_nonzeros_below_goal_{sign}"]
    assert theirs.max() == pytest.approx(np.abs(last[theirs != 0]).mean(), rel=1e-6)
    b = arrays["in_biases"][-1]
    theirs_bias = arrays[f"out_bias_below_goal_{sign}"]
    np.testing.assert_allclose(balanced_bias(theirs, b), theirs_bias, **CLOSE)
    if sign == "negative":
        np.testing.assert_allclose(weight, theirs, **CLOSE)


def test_discretisation_equals_the_reference_away_from_its_edges(arrays):
    data, threshold = arrays["in_disc_data"], float(arrays["in_disc_threshold"])
    count = int((np.abs(data) > threshold).sum())
    assert np.abs(data).max() < arrays["in_disc_max"]
    padded = np.zeros((count, data.size), dtype=data.dtype)  # a count that is 1 a class
    padded[0] = data.ravel()
    ours = quantise(padded, 1)[0].reshape(data.shape)
    np.testing.assert_allclose(ours, arrays["out_disc"], **CLOSE)


def test_discretisation_at_the_edges_follows_magnitude_alone(arrays):
    """At +-threshold and -max the reference decides by sign; here equal magnitudes are equal."""
    data = arrays["in_disc_edge_data"]
    assert np.abs(data).max() == arrays["in_disc_edge_max"]
    above = np.abs(data) > 0.7000001
    padded = np.zeros((int(above.sum()), len(data)), dtype=data.dtype)
    padded[0] = data
    ours = quantise(padded, 1)[0]
    np.testing.assert_array_equal(np.sign(ours), np.where(above, np.sign(data), 0))
    theirs = arrays["out_disc_edge"]
    differs = data[np.sign(ours) != np.sign(theirs)]
    np.testing.assert_allclose(differs, [-2.0, -0.7], rtol=1e-6)
    inside = (theirs != 0) & (data != -2.0)
    assert theirs.max() == pytest.approx(np.abs(data[inside]).mean(), rel=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1),
    n_classes=st.integers(2, 6),
    n_features=st.integers(1, 7),
    per_class=st.integers(1, 7),
    rounded=st.booleans(),
)
def test_quantised_layers_have_one_level_and_the_size_asked_for(
    seed, n_classes, n_features, per_class, rounded
):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n_classes, n_features))
    W[0, 0] = 2.0
    W = np.round(W) if rounded else W  # ties
    quantised = quantise(W, per_class)
    assert (quantised != 0).sum() == min(per_class * n_classes, (W != 0).sum())
    assert len(np.unique(np.abs(quantised[quantised != 0]))) == 1
    np.testing.assert_array_equal(np.sign(quantised)[quantised != 0], np.sign(W)[quantised != 0])
    dropped = np.abs(W[quantised == 0]).max(initial=0.0)
    assert dropped <= np.abs(W[quantised != 0]).min()
    np.testing.assert_allclose(quantise(-W, per_class), -quantised)
    b = rng.normal(size=n_classes)
    bias = balanced_bias(quantised, b)
    net = np.sign(quantised).sum(axis=1)
    assert bias[net.argmin()] == np.abs(b).max()
    assert (np.diff(bias[np.argsort(net)]) <= 0).all()
    if np.ptp(net):
        assert bias[net.argmax()] == pytest.approx(-np.abs(b).max())


def test_a_layer_of_zeros_is_refused():
    with pytest.raises(SolverError, match="no weight to quantise"):
        quantise(np.zeros((2, 3)), 1)


def test_the_layer_is_the_quantised_end_of_the_path():
    features, labels = clustered(n_classes=8, n_features=30)
    layer = qsenn(features, labels, 10, 3)
    assert layer.selected.tolist() == sldd(features, labels, 10, 3).selected.tolist()
    path = regularisation_path(standardise(features)[:, layer.selected], labels)
    np.testing.assert_array_equal(layer.weight, quantise(path.weights[-1], 3))
    assert (layer.weight != 0).sum() == 24
    level = layer.weight.max()
    assert set(np.unique(layer.weight)) == {-level, 0.0, level}
    assert np.abs(layer.bias).max() == np.abs(path.biases[-1]).max()


def test_a_later_round_keeps_its_features():
    features, labels = clustered()
    assert qsenn(features, labels, 12, 3).selected.tolist() == list(range(12))
