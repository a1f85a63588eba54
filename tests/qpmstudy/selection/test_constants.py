import numpy as np
import pytest
from selection_problems import PARITY

from qpmstudy.errors import ConfigError, DataError
from qpmstudy.selection import SelectionProblem, pair_penalties, relevance, similarity
from qpmstudy.selection.constants import penalties_above
from qpmstudy.selection.spread import independent_set, spread_threshold


@pytest.fixture(scope="module")
def arrays():
    return dict(np.load(PARITY / "08_qp_constants_A_R.npz"))


@pytest.fixture(scope="module")
def pairs():
    return dict(np.load(PARITY / "09_disallowed_pairs.npz"))


def without_diagonal(R):
    R = R.copy()
    np.fill_diagonal(R, 0.0)
    return R


def test_relevance_and_similarity_equal_the_reference(arrays):
    found = relevance(arrays["in_features"], arrays["in_labels"])
    R = similarity(found.normalised)
    np.testing.assert_allclose(found.correlation, arrays["own_A_raw_f64"], atol=1e-10)
    np.testing.assert_allclose(found.normalised, arrays["own_A_f64"], atol=1e-10)
    np.testing.assert_allclose(R, without_diagonal(arrays["own_R_f64"]), atol=1e-10)
    np.testing.assert_allclose(found.normalised, arrays["out_A"], atol=2e-6)
    np.testing.assert_allclose(R, without_diagonal(arrays["out_R"]), atol=2e-6)
    assert found.dead.size == 0


def test_dead_features_are_reported_and_related_to_nothing(arrays):
    features = arrays["in_features_dead"]
    found = relevance(features, arrays["in_labels"])
    R = similarity(found.normalised)
    constant = np.flatnonzero((features == features[0]).all(axis=0))
    assert constant.size
    assert found.dead.tolist() == constant.tolist()
    assert not found.correlation[found.dead].any()
    assert not R[found.dead].any()
    np.testing.assert_allclose(found.normalised, arrays["out_A_dead"], atol=2e-6)
    np.testing.assert_allclose(R, without_diagonal(arrays["out_R_dead"]), atol=2e-6)


@pytest.mark.parametrize("form", ["", "_triu"])
def test_penalties_at_a_given_threshold_equal_the_reference(pairs, form):
    R = without_diagonal(pairs[f"in_R{form}"])
    penalty = penalties_above(R, float(pairs[f"out_threshold{form}"]))
    i, j = pairs[f"out_pairs{form}"].T
    expected = np.zeros_like(R)
    expected[i, j] = pairs[f"out_pair_penalty{form}"]
    np.testing.assert_allclose(np.triu(penalty), expected, atol=1e-12)


def test_penalties_at_half_the_threshold_equal_the_consistent_reading(pairs):
    penalty = penalties_above(without_diagonal(pairs["in_R"]), float(pairs["out_threshold"]) / 2)
    i, j = pairs["own_pairs_at_half_threshold"].T
    assert np.argwhere(np.triu(penalty)).tolist() == sorted(
        [*pair] for pair in zip(i, j, strict=True)
    )
    np.testing.assert_allclose(
        penalty[i, j], pairs["own_pair_penalty_at_half_threshold"], atol=1e-12
    )


def test_the_threshold_leaves_enough_features_and_is_no_worse_than_the_reference(pairs):
    R, target = without_diagonal(pairs["in_R"]), int(pairs["in_target"])
    threshold = spread_threshold(R, target)
    free = independent_set(threshold <= R, target, np.zeros(0, dtype=np.int64))
    assert free is not None
    assert len(set(free.tolist())) == target
    assert R[np.ix_(free, free)].max() < threshold
    assert threshold <= float(pairs["out_threshold"]) / 2


def test_the_reference_variant_compares_twice_the_threshold(pairs):
    R, target = without_diagonal(pairs["in_R"]), int(pairs["in_target"])
    expected = penalties_above(R, 2 * spread_threshold(R, target))
    np.testing.assert_array_equal(pair_penalties(R, target, "reference"), expected)
    assert 0 < (expected > 0).sum() < (pair_penalties(R, target) > 0).sum()


def planted(n_groups, per_group, rng):
    """Similar inside a group, hardly similar across: one feature a group is the spread set."""
    group = np.repeat(np.arange(n_groups), per_group)
    R = np.where(group[:, None] == group, 0.8, 0.1) + 0.05 * rng.random((len(group), len(group)))
    return without_diagonal(np.triu(R, 1) + np.triu(R, 1).T)


def test_a_planted_spread_set_is_found():
    R = planted(12, 6, np.random.default_rng(1))
    assert 0.1 < spread_threshold(R, 12) <= 0.8
    assert spread_threshold(R, 13) > 0.8


def test_dead_features_do_not_lower_the_threshold():
    R = planted(6, 4, np.random.default_rng(2))
    with_dead = np.zeros((40, 40))
    with_dead[:24, :24] = R
    assert spread_threshold(with_dead, 6) == spread_threshold(R, 6)


def test_no_pair_is_penalised_when_every_feature_is_needed():
    R = planted(3, 2, np.random.default_rng(3))
    assert not pair_penalties(R, 6).any()


def test_a_problem_from_features_finds_the_features_of_the_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 25)
    signal = np.eye(4)[labels] @ np.array(
        [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1.0]]
    )
    features = np.hstack([signal + 0.1 * rng.random(signal.shape), rng.random((100, 6))])
    problem = SelectionProblem.from_features(features, labels, 4, 2)
    scores = problem.relevance.max(axis=1)
    assert set(np.argsort(-scores)[:4].tolist()) == {0, 1, 2, 3}
    assert np.abs(problem.relevance).max() == 1.0


def test_constant_or_broken_features_and_missing_classes_are_refused():
    labels = np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match="All 3 features are constant"):
        relevance(np.ones((4, 3)), labels)
    with pytest.raises(DataError, match="1 features have values that are not finite"):
        relevance(np.array([[np.nan, 1], [0, 1], [0, 2], [0, 1.0]]), labels)
    with pytest.raises(DataError, match=r"classes \[1\] of 3 have no image"):
        relevance(np.random.default_rng(0).random((4, 2)), np.array([0, 2, 0, 2]))


def test_an_unknown_variant_is_refused():
    with pytest.raises(ConfigError, match=r"Unknown variant 'paper'.*correct, reference"):
        pair_penalties(np.zeros((3, 3)), 2, "paper")
