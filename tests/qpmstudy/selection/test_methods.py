"""What every selection method promises, and what its options change."""

from dataclasses import replace

import numpy as np
import pytest
from glm_data import clustered

from qpmstudy.config import SelectConfig
from qpmstudy.errors import ConfigError, DataError, SolverError
from qpmstudy.selection import SelectionProblem, pair_penalties, relevance, similarity
from qpmstudy.selection.alone import Features, describe, select_layer
from qpmstudy.selection.base import Progress
from qpmstudy.selection.methods import METHODS, Means, Selected

pytestmark = pytest.mark.xdist_group("methods")  # what all of them need is computed once

NAMES = ("qpm", "sldd", "qsenn")
CLASSES, GIVEN = 12, 40
CONFIG = SelectConfig(features=12, per_class=3, solver="lagrangian", gap=0.02, time_limit=5.0)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Twelve classes, 40 features of which number 7 is dead."""
    features, labels = clustered(CLASSES, 16, GIVEN)
    features[:, 7] = 0.25
    return features, labels


@pytest.fixture(scope="module")
def answers(data) -> dict[str, Selected]:
    return {name: selected(name, data) for name in NAMES}


def selected(name, data, config=CONFIG, means=None) -> Selected:
    return METHODS.get(name).select(*data, replace(config, method=name), means or Means())


def test_these_are_all_methods():
    assert METHODS.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_has_the_sizes_asked_for(answers, data, name):
    layer = answers[name].layer
    assert layer.selected.shape == (12,)
    assert (np.diff(layer.selected) > 0).all()
    assert 0 <= layer.selected.min() <= layer.selected.max() < GIVEN
    assert layer.weight.shape == (CLASSES, 12)
    assert layer.bias.shape == (CLASSES,)
    assert layer.weight.dtype == layer.bias.dtype == np.float64
    assert np.isfinite(layer.weight).all()
    assert np.isfinite(layer.bias).all()
    assert 0 < (layer.weight != 0).sum() <= 3 * CLASSES
    assert not layer.weight[:, layer.selected == 7].any()  # the dead one


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_tells_the_classes_apart(answers, data, name):
    features, labels = data
    layer = answers[name].layer
    chosen = features[:, layer.selected]
    scores = (chosen - chosen.mean(0)) / chosen.std(0).clip(1e-6)
    predicted = (scores @ layer.weight.T + layer.bias).argmax(1)
    assert (predicted == labels).mean() > 0.2  # chance is 0.08


@pytest.mark.parametrize("name", NAMES)
def test_a_selection_repeats_itself(answers, data, name):
    again = selected(name, data).layer
    for field in ("selected", "weight", "bias"):
        np.testing.assert_array_equal(getattr(again, field), getattr(answers[name].layer, field))


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_selected_is_refused(data, name):
    features, labels = data
    with pytest.raises((SolverError, ConfigError), match=r"41 features cannot be selected"):
        selected(name, data, replace(CONFIG, features=41))
    with pytest.raises(DataError, match=r"classes \[0\] of 12 have no image"):
        selected(name, (features[labels > 0], labels[labels > 0]))
    broken = features.copy()
    broken[3, 5] = np.nan
    with pytest.raises(DataError, match="1 features have values that are not finite"):
        selected(name, (broken, labels))


def test_only_the_quadratic_program_proves_its_answer(answers):
    layer, certificate = answers["qpm"]
    assert certificate is not None
    assert certificate.bound >= certificate.objective
    np.testing.assert_array_equal(layer.weight, certificate.assignment)
    assert (layer.weight.sum(1) == 3).all()
    assert not layer.bias.any()
    for name in ("sldd", "qsenn"):
        assert answers[name].certificate is None
        assert answers[name].layer.bias.any()


def test_an_unknown_method_is_named():
    with pytest.raises(ConfigError, match=r"Unknown selection method 'qsen'.*mean 'qsenn'"):
        METHODS.get("qsen")


def test_the_pair_rule_decides_which_pairs_are_penalised(data):
    """The certified objective is that of the problem with the penalties of the rule."""
    features, labels = data
    A = relevance(features, labels).normalised
    values = {}
    for rule in ("correct", "reference"):
        answer = selected("qpm", data, replace(CONFIG, pair_rule=rule)).certificate
        assert answer is not None
        penalty = pair_penalties(similarity(A), 12, rule)
        problem = SelectionProblem(A, penalty, None, 12, 3)
        values[rule] = problem.objective(answer.selected, answer.assignment)
        assert answer.objective == pytest.approx(values[rule])
    assert values["correct"] < values["reference"]  # more pairs are penalised


def test_a_bias_draws_features_in(answers, data):
    wanted = np.setdiff1d(np.arange(GIVEN), answers["qpm"].layer.selected)[:4]
    bias = np.zeros(GIVEN)
    bias[wanted] = 200.0
    layer, certificate = selected("qpm", data, means=Means(bias=bias))
    assert set(wanted) <= set(layer.selected.tolist())
    assert certificate is not None
    plain = SelectionProblem.from_features(*data, 12, 3)
    without = plain.objective(certificate.selected, certificate.assignment)
    assert certificate.objective == pytest.approx(without + 800.0)


def test_progress_is_told(data):
    told: list[Progress] = []
    _, certificate = selected("qpm", data, means=Means(on_progress=told.append))
    assert certificate is not None
    assert tuple(told) == certificate.trace
    assert told[-1].objective == certificate.objective


@pytest.mark.parametrize(("solver", "fallback"), [("auto", "fail"), ("gurobi", "lagrangian")])
def test_the_open_solver_takes_over_from_one_that_is_withheld(data, answers, solver, fallback):
    config = replace(CONFIG, solver=solver, fallback=fallback)
    layer, certificate = selected("qpm", data, config, Means(withheld={"gurobi": "no token"}))
    assert certificate is not None
    assert certificate.solver == "lagrangian"
    assert certificate.fallback == "no token"
    np.testing.assert_array_equal(layer.selected, answers["qpm"].layer.selected)
    other = Means(withheld={"gurobi": "no token"})
    assert selected("qpm", data, means=other).certificate.fallback is None  # not asked for


def test_a_solver_that_is_withheld_and_insisted_on_is_an_error(data):
    with pytest.raises(
        SolverError, match=r"'gurobi' may not be used here: no token\. Set .*fallba"
    ):
        selected(
            "qpm", data, replace(CONFIG, solver="gurobi"), Means(withheld={"gurobi": "no token"})
        )


def test_later_rounds_of_qsenn_keep_every_feature(data):
    """Also those that fine-tuning made constant: they lose their weights."""
    features, labels = data
    chosen = features[:, :12]
    renew = METHODS.get("qsenn").renew
    assert renew is not None
    layer = renew(chosen, labels, 3)
    assert layer.selected.tolist() == list(range(12))
    assert not layer.weight[:, 7].any()
    assert (layer.weight != 0).sum() == 3 * CLASSES
    assert len(np.unique(np.abs(layer.weight))) == 2
    assert METHODS.get("qsenn").rounds == 4
    assert METHODS.get("qpm").rounds == METHODS.get("sldd").rounds == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_selection_by_itself_is_that_of_the_method(answers, data, name):
    file = Features(*data)
    config = SelectConfig(name, 12, 3, solver="lagrangian", gap=0.02, time_limit=5.0)
    layer, certificate = select_layer(file, config)
    for field in ("selected", "weight", "bias"):
        np.testing.assert_array_equal(getattr(layer, field), getattr(answers[name].layer, field))
    lines = describe(file, layer, certificate)
    assert any("12 of 40 features (1 dead)" in line for line in lines)
    assert lines[0].startswith("lagrangian: ") == (name == "qpm")


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"Unknown selection method 'qpn'.*mean 'qpm'"):
        METHODS.get("qpn")
