import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from glm_data import clustered
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from qpmstudy.errors import ConfigError, DataError, SolverError
from qpmstudy.selection import glm_solver
from qpmstudy.selection.glm import EPSILON, regularisation_path, standardise
from qpmstudy.selection.glm_penalties import ElasticNet, GroupElasticNet
from qpmstudy.selection.glm_solver import MultinomialLoss, minimise


def cross_entropy(X, labels, W, b):
    return -log_softmax(X @ W.T + b, axis=1)[np.arange(len(labels)), labels].mean()


def derivatives(X, labels, W, b):
    residual = softmax(X @ W.T + b, axis=1) - np.eye(len(W))[labels]
    return residual.T @ X / len(X), residual.mean(axis=0)


@pytest.fixture(scope="module")
def problem():
    features, labels = clustered()
    return standardise(features), labels


@pytest.fixture(scope="module")
def path(problem):
    return regularisation_path(*problem)


def test_path_has_its_shape_and_strengths(problem, path):
    X, labels = problem
    assert path.weights.shape == (100, 6, 12)
    assert path.biases.shape == (100, 6)
    assert path.lambdas[-1] == pytest.approx(EPSILON * path.lambdas[0])
    np.testing.assert_allclose(np.diff(np.log(path.lambdas)), np.log(EPSILON) / 99)
    share = np.bincount(labels) / len(labels)
    largest = np.abs(X.T @ (np.eye(6)[labels] - share)).max() / len(X)
    assert path.lambdas[0] == pytest.approx(largest / 0.99)


def test_the_first_strength_is_the_smallest_without_weights(problem, path):
    labels = problem[1]
    assert not path.weights[0].any()
    np.testing.assert_allclose(softmax(path.biases[0]), np.bincount(labels) / len(labels))
    assert path.weights[1].any()


def test_every_solution_meets_the_optimality_conditions(problem, path):
    for W, b, strength in zip(*path, strict=True):
        of_weights, of_bias = derivatives(*problem, W, b)
        slope = of_weights + 0.01 * strength * W
        margin = glm_solver.TOLERANCE * 0.99 * strength * (1 + 1e-6) + 1e-12
        assert np.abs(of_bias).max() <= margin
        assert np.abs(slope[W == 0]).max() <= 0.99 * strength + margin
        at = W != 0
        if at.any():
            assert np.abs(slope[at] + 0.99 * strength * np.sign(W[at])).max() <= margin


def test_weights_come_in_as_the_penalty_falls(problem, path):
    """Loss falls and penalty rises, which is exact; the number of weights follows them.

    Not strictly: a weight may leave again when one that says the same comes in. Which ones do
    depends on rounding, so that a twentieth, in whole weights, may be gone for a while.
    """
    W = path.weights
    penalty = 0.99 * np.abs(W).sum((1, 2)) + 0.005 * (W**2).sum((1, 2))
    loss = [cross_entropy(*problem, *entry) for entry in zip(W, path.biases, strict=True)]
    assert (np.diff(penalty) > 0).all()
    assert (np.diff(loss) < 0).all()
    counts = (W != 0).sum((1, 2))
    assert (counts >= np.floor(0.95 * np.maximum.accumulate(counts))).all()
    assert counts[-1] > 20


@pytest.mark.parametrize("alpha", [0.3, 0.99])
def test_solutions_agree_with_scikit_learn(problem, alpha, monkeypatch):
    monkeypatch.setattr(glm_solver, "TOLERANCE", 1e-5)
    X, labels = problem
    path = regularisation_path(X, labels, alpha=alpha, epsilon=0.02, steps=4)
    for W, b, strength in zip(*path, strict=True):
        theirs = LogisticRegression(
            C=1 / (strength * len(X)),
            l1_ratio=alpha,
            solver="saga",
            tol=1e-7,
            max_iter=100_000,
            random_state=0,
        )
        with warnings.catch_warnings():  # versions differ on whether `penalty` must be given
            warnings.simplefilter("ignore", FutureWarning)
            theirs.set_params(penalty="elasticnet").fit(X, labels)
        np.testing.assert_allclose(W, theirs.coef_, atol=1e-3)
        np.testing.assert_allclose(softmax(X @ W.T + b, 1), theirs.predict_proba(X), atol=1e-3)

        def objective(W, b, strength=strength):
            size = alpha * np.abs(W).sum() + (1 - alpha) / 2 * (W**2).sum()
            return cross_entropy(X, labels, W, b) + strength * size

        assert objective(W, b) <= objective(theirs.coef_, theirs.intercept_) + 1e-6


def test_group_penalty_meets_its_optimality_conditions(problem):
    X, labels = problem
    loss = MultinomialLoss.of(X, labels)
    found = minimise(loss, GroupElasticNet(0.1, 0.8), loss.null())
    W, b = found[:, :-1], found[:, -1]
    of_weights, of_bias = derivatives(X, labels, W, b)
    slope = of_weights + 0.02 * W
    used = W.any(axis=0)
    assert 0 < used.sum() < X.shape[1]
    assert (W[:, used] != 0).all()
    margin = 1.001 * glm_solver.TOLERANCE * 0.08
    assert np.abs(of_bias).max() <= margin
    assert np.linalg.norm(slope[:, ~used], axis=0).max() <= 0.08 + margin
    direction = W[:, used] / np.linalg.norm(W[:, used], axis=0)
    assert np.linalg.norm(slope[:, used] + 0.08 * direction, axis=0).max() <= margin


def test_the_gradient_is_that_of_the_loss(problem):
    X, labels = problem
    loss = MultinomialLoss.of(X, labels)
    rng = np.random.default_rng(1)
    at, direction = rng.normal(size=(2, 6, 13))
    value, gradient = loss.value_and_gradient(at)
    assert value == pytest.approx(cross_entropy(X, labels, at[:, :-1], at[:, -1]))
    ahead, behind = (loss.value_and_gradient(at + h * direction)[0] for h in (1e-5, -1e-5))
    assert (gradient * direction).sum() == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from([ElasticNet, GroupElasticNet]),
    strength=st.floats(0.01, 3.0),
    alpha=st.floats(0.05, 1.0),
    step=st.floats(0.01, 5.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_proximal_map_minimises_what_it_says(kind, strength, alpha, step, seed):
    penalty = kind(strength, alpha)
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(3, 4)) * (rng.random((3, 4)) < 0.7)

    def value(V):
        return step * penalty.value(V) + ((V - W) ** 2).sum() / 2

    best = penalty.proximal(W, step)
    for size in (1e-3, 0.1, 1.0):
        assert value(best) <= value(best + size * rng.normal(size=W.shape)) + 1e-12
    assert value(best) <= min(value(W), value(np.zeros_like(W))) + 1e-12
    # a point is stationary for the loss ||. - W||^2 / (2 step) exactly where the map leads
    assert penalty.violation(best, (best - W) / step) <= 1e-9 / step


def test_standardise_leaves_constant_features_at_zero():
    features, _ = clustered()
    features = features.astype(np.float32)
    features[:, 3] = 0.1
    X = standardise(features)
    assert not X[:, 3].any()
    rest = np.delete(X, 3, axis=1)
    np.testing.assert_allclose(rest.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(rest.std(axis=0), 1)


def test_a_fit_that_does_not_arrive_says_so(problem, monkeypatch):
    monkeypatch.setattr(glm_solver, "MAX_STEPS", 3)
    with pytest.raises(SolverError, match="not optimal after 3 steps"):
        regularisation_path(*problem)


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 1.5}, {"epsilon": 1.0}, {"epsilon": 0.0}, {"steps": 1}]
)
def test_wrong_settings_are_refused(problem, wrong):
    with pytest.raises(ConfigError, match="0 < alpha <= 1"):
        regularisation_path(*problem, **wrong)


def test_wrong_data_is_refused(problem):
    X, labels = problem
    with pytest.raises(DataError, match=r"classes \[2\] of 6 have no image"):
        regularisation_path(X, np.where(labels == 2, 1, labels))
    with pytest.raises(DataError, match="No feature differs"):
        regularisation_path(np.zeros_like(X), labels)
    with pytest.raises(DataError, match="1 features have values that are not finite"):
        standardise(np.where(X.max() == X, np.nan, X))


def test_another_process_finds_the_same_path(path):
    program = (
        "from glm_data import clustered\n"
        "from qpmstudy.selection.glm import regularisation_path, standardise\n"
        "features, labels = clustered()\n"
        "path = regularisation_path(standardise(features), labels)\n"
        "print(path.weights.tobytes().hex()[:100_000], end='')\n"
    )
    here = Path(__file__).resolve().parent
    folders = [str(here), str(here.parents[2])]
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {folders!r}\n{program}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert result.stdout == path.weights.tobytes().hex()[:100_000]
