import numpy as np
import pytest
from glm_data import clustered
from selection_problems import PARITY

from qpmstudy.errors import ConfigError, DataError, SolverError
from qpmstudy.selection import sldd_features
from qpmstudy.selection.glm import regularisation_path, standardise
from qpmstudy.selection.sldd import DROP_RATE, keep_largest, sldd, sparsify
from qpmstudy.selection.sldd_features import select_features

N_FEATURES, PER_CLASS = 10, 3


@pytest.fixture(scope="module")
def arrays():
    return dict(np.load(PARITY / "12_sldd_sparsification.npz"))


@pytest.fixture(scope="module")
def data():
    return clustered(n_classes=8, n_features=30)


@pytest.fixture(scope="module")
def layer(data):
    return sldd(*data, N_FEATURES, PER_CLASS)


def test_sparsify_equals_the_reference_at_its_five_weights_a_class(arrays):
    assert arrays["in_per_class"] == 5
    assert arrays["in_drop_rate"] == DROP_RATE
    weight, bias = sparsify(arrays["in_weights"], arrays["in_biases"], 5)
    np.testing.assert_array_equal(weight, arrays["out_weight_k5"])
    np.testing.assert_array_equal(bias, arrays["out_bias_k5"])
    assert (weight != 0).sum() == arrays["own_nonzeros_kept_k5"]
    mean = (arrays["in_weights"] != 0).sum((1, 2)) / len(weight)
    np.testing.assert_array_equal(mean, arrays["own_mean_nonzeros_per_class_along_path"])
    chosen = arrays["in_biases"][arrays["own_selected_path_index_k5"]]
    np.testing.assert_array_equal(bias, chosen)


def test_sparsify_keeps_as_many_as_asked_where_the_reference_keeps_five(arrays):
    """The same path entry, with 3 a class; pruned to 5 it is the reference's answer."""
    weight, bias = sparsify(arrays["in_weights"], arrays["in_biases"], 3)
    index = int(arrays["own_selected_path_index_k3"])
    np.testing.assert_array_equal(bias, arrays["out_bias_k3"])
    np.testing.assert_array_equal(bias, arrays["in_biases"][index])
    theirs = keep_largest(arrays["in_weights"][index], 5 * len(weight))
    np.testing.assert_array_equal(theirs, arrays["out_weight_k3"])
    assert arrays["own_nonzeros_kept_k3"] == 5 * len(weight)
    assert (weight != 0).sum() == 3 * len(weight)
    assert np.abs(theirs[(theirs != 0) & (weight == 0)]).max() < np.abs(weight[weight != 0]).min()
    np.testing.assert_array_equal(weight[weight != 0], theirs[weight != 0])


def test_keep_largest_equals_the_reference(arrays):
    kept = keep_largest(arrays["in_weights"][-1], 4 * 8)
    np.testing.assert_array_equal(kept, arrays["out_zeroed_keep4"])


def test_keep_largest_breaks_ties_by_position():
    weight = np.array([[1.0, -2.0, 0.0], [2.0, -1.0, 2.0]])
    expected = [[0.0, -2.0, 0.0], [2.0, 0.0, 0.0]]
    np.testing.assert_array_equal(keep_largest(weight, 2), expected)
    np.testing.assert_array_equal(keep_largest(weight, 20), weight)
    many = np.random.default_rng(0).choice([-2.0, -1.0, 1.0, 2.0, 3.0], size=(20, 15))
    ones = np.flatnonzero(np.abs(many) == 1)
    expected = np.where(np.abs(many) > 1, many, 0.0)
    expected.flat[ones[:50]] = many.flat[ones[:50]]
    np.testing.assert_array_equal(keep_largest(many, 300 - len(ones) + 50), expected)


def test_the_first_entry_of_a_path_is_never_taken():
    weights = np.zeros((3, 2, 4))
    weights[0, :, :3] = 1.0
    weights[1, :, :1] = 2.0
    weights[2] = 3.0
    weight, bias = sparsify(weights, np.arange(6.0).reshape(3, 2), 1)
    np.testing.assert_array_equal(weight, weights[1])
    assert bias.tolist() == [2.0, 3.0]


def test_a_path_without_a_fitting_entry_is_refused():
    weights = np.ones((3, 2, 4))
    with pytest.raises(SolverError, match="at most 2 a class: they have"):
        sparsify(weights, np.zeros((3, 2)), 1)
    with pytest.raises(SolverError, match="No entry of a regularisation path of 1 "):
        sparsify(weights[:1], np.zeros((1, 2)), 5)


def test_a_layer_has_the_sizes_asked_for(data, layer):
    features, labels = data
    assert layer.selected.shape == (N_FEATURES,)
    assert (np.diff(layer.selected) > 0).all()
    assert layer.weight.shape == (8, N_FEATURES)
    assert layer.bias.shape == (8,)
    assert (layer.weight != 0).sum() == PER_CLASS * 8
    assert layer.weight.any(axis=0).sum() >= N_FEATURES - 2  # nothing forbids an idle feature
    scores = standardise(features)[:, layer.selected] @ layer.weight.T + layer.bias
    assert (scores.argmax(axis=1) == labels).mean() > 0.45  # chance is 0.125


def test_its_weights_are_those_of_a_path_entry(data, layer):
    features, labels = data
    path = regularisation_path(standardise(features)[:, layer.selected], labels)
    (at,) = np.flatnonzero((path.biases == layer.bias).all(axis=1))
    used = layer.weight != 0
    np.testing.assert_array_equal(layer.weight[used], path.weights[at][used])
    mean = (path.weights != 0).sum((1, 2)) / 8
    assert mean[at] <= PER_CLASS / DROP_RATE
    assert not ((mean > mean[at]) & (mean <= PER_CLASS / DROP_RATE)).any()


def test_equal_data_gives_equal_layers(data, layer):
    again = sldd(*data, N_FEATURES, PER_CLASS)
    np.testing.assert_array_equal(again.selected, layer.selected)
    np.testing.assert_array_equal(again.weight, layer.weight)
    np.testing.assert_array_equal(again.bias, layer.bias)


def test_scale_and_shift_of_a_feature_do_not_matter(data, layer):
    features, labels = data
    scales = np.random.default_rng(3).uniform(0.1, 10.0, features.shape[1])
    again = sldd(features * scales + 7.0, labels, N_FEATURES, PER_CLASS)
    np.testing.assert_array_equal(again.selected, layer.selected)
    np.testing.assert_allclose(again.weight, layer.weight, atol=0.05)


def test_selections_grow_one_by_one_from_the_steepest_feature(data):
    X, labels = standardise(data[0]), data[1]
    share = np.bincount(labels) / len(labels)
    slopes = np.linalg.norm(X.T @ (np.eye(8)[labels] - share), axis=1)
    before = set()
    for n_features in range(1, 15):
        now = set(select_features(X, labels, n_features).tolist())
        assert len(now) == n_features
        assert before < now
        before = now
        if n_features == 1:
            assert now == {int(slopes.argmax())}


def test_features_that_tell_classes_apart_are_found():
    """Three features carry the classes, each its own; the other 27 are noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 30)
    features = rng.normal(size=(240, 30))
    for bit, feature in enumerate((4, 17, 22)):
        features[:, feature] += 3.0 * (labels >> bit & 1)
    assert select_features(standardise(features), labels, 3).tolist() == [4, 17, 22]


def test_all_features_are_selected_when_all_are_asked_for(data):
    X, labels = standardise(data[0]), data[1]
    assert select_features(X, labels, 30).tolist() == list(range(30))


def test_features_enter_even_when_the_penalty_has_run_out(monkeypatch):
    """No noise is worth the last penalty, but N* features are asked for: the steepest come in."""
    monkeypatch.setattr(sldd_features, "DISCOUNT", 0.9)
    monkeypatch.setattr(sldd_features, "EPSILON", 0.9)
    monkeypatch.setattr(sldd_features, "STEPS", 2)
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(3), 30)
    features = 0.1 * rng.normal(size=(90, 6))
    features[:, 2] += labels
    X = standardise(features)
    slopes = np.linalg.norm(X.T @ (np.eye(3)[labels] - 1 / 3), axis=1)
    order = np.argsort(-slopes)
    assert order[0] == 2
    assert slopes[order[1]] < 0.9 * 0.9 * slopes[2]
    assert select_features(X, labels, 4).tolist() == sorted(order[:4].tolist())


def test_sizes_that_cannot_be_had_are_refused(data):
    features, labels = data
    with pytest.raises(ConfigError, match="per_class is 0, but must be at least 1"):
        sldd(features, labels, 5, 0)
    with pytest.raises(ConfigError, match="n_features is 0, but must be at least 1"):
        sldd(features, labels, 0, 5)
    with pytest.raises(SolverError, match="6 of only 5 selected features"):
        sldd(features, labels, 5, 6)
    with pytest.raises(SolverError, match="31 features cannot be selected: only 30 of 30"):
        sldd(features, labels, 31, 5)
    constant = np.where(np.arange(30) < 22, 1.0, features)
    with pytest.raises(SolverError, match="10 features cannot be selected: only 8 of 30"):
        sldd(constant, labels, 10, 5)
    with pytest.raises(DataError, match=r"classes \[0\] of 8 have no image"):
        sldd(features[labels > 0], labels[labels > 0], 10, 5)
