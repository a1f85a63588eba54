"""What decides: Optuna's own answer on a study that Optuna was told by itself."""

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from cluster.importance import FRONT, Importance, importances
from made_rows import made_results, made_study
from storage.analysis import pareto_result
from storage.study import grid

SPACE: dict[str, Any] = {
    "finetune.l1_fm": {"values": [0, 1, 2, 3]},
    "adapter.depth": {"values": [1, 2, 4]},
    "dense.div": {"values": [0.5, 1]},
}
pytestmark = pytest.mark.filterwarnings("ignore:.*PedAnova.*")


def found_in(space: dict[str, Any], seed: int = 0, **changes: Any) -> tuple[Importance, Any]:
    spec = made_study(space=space, seeds=1, **changes)
    random = np.random.default_rng(seed)
    values = random.random((spec.configurations, 2)).round(1)  # ties
    figures = {
        trial: {"accuracy": [float(one)], "plausibility": [float(other)]}
        for trial, (one, other) in enumerate(values)
    }
    (found,) = importances(pareto_result([made_results(spec, figures)]))
    return found, values


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_optuna_says(seed: int) -> None:
    ways = {"accuracy": "max", "plausibility": ("min", "max")[seed % 2]}
    found, values = found_in(SPACE, seed, objectives=ways)
    lists = {name: CategoricalDistribution(entry["values"]) for name, entry in SPACE.items()}
    study = optuna.create_study(directions=[f"{way}imize" for way in ways.values()])
    for chosen, pair in zip(grid(made_study(space=SPACE).parameters), values, strict=True):
        study.add_trial(optuna.trial.create_trial(
            params=dict(chosen), distributions=lists, values=pair.tolist()
        ))  # fmt: skip
    evaluator = PedAnovaImportanceEvaluator(target_quantile=found.best / 24)
    signs = [1 if way == "min" else -1 for way in ways.values()]
    for position, name in enumerate(ways):
        wanted = get_param_importances(
            study,
            evaluator=evaluator,
            target=lambda trial, p=position: signs[p] * trial.values[p],
        )
        assert found.shares[name] == pytest.approx(wanted)
    assert found.shares[FRONT] == pytest.approx(get_param_importances(study, evaluator=evaluator))
    assert (found.configurations, found.best, found.notes) == (24, 5, ())


def test_a_parameter_that_decides_everything_is_found() -> None:
    spec = made_study(space=SPACE, seeds=1)
    figures = {
        trial: {"accuracy": [chosen["adapter.depth"] / 10], "plausibility": [0.5]}
        for trial, chosen in enumerate(grid(spec.parameters))
    }
    (found,) = importances(pareto_result([made_results(spec, figures)]))
    assert found.shares["accuracy"]["adapter.depth"] > 0.95
    # all are equal in plausibility, so all are the best: nothing decides
    assert set(found.shares["plausibility"].values()) == {0.0}
    assert next(iter(found.shares[FRONT])) == "adapter.depth"


def test_constant_parameters_and_few_configurations_are_said() -> None:
    constant = {"finetune.l1_fm": {"values": [0, 1, 2, 3, 4, 5, 6, 7]}, "k": {
        "paths": ["select.per_class"], "values": [5]}}  # fmt: skip
    found, _ = found_in(constant)
    assert found.constant == ("k",)
    assert found.shares["accuracy"] == {"finetune.l1_fm": 1.0}
    assert found.notes == ("8 configurations are few: read the shares as an order, roughly",)
    few, _ = found_in({"finetune.l1_fm": {"values": [0, 1, 2, 3, 4]}})
    assert few.shares == {}
    assert few.notes == ("5 configurations are too few to say what decides (6)",)
    nothing, _ = found_in({"finetune.l1_fm": {"values": [1]}})
    assert nothing.notes == ("no parameter has more than one value",)


def test_a_value_that_not_all_have_and_runs_without_a_number() -> None:
    space = {
        "select.method": {"values": ["qpm", "none"]},
        "select.per_class": {"values": [2, 3, 4, 5, 6, 7], "when": {"select.method": "qpm"}},
        "dense.div": {"values": [0.5, 1]},
    }
    spec = made_study(space=space, seeds=1)
    random = np.random.default_rng(0)
    figures: dict[int, dict[str, list[float | None]]] = {
        trial: {"accuracy": [random.random()], "plausibility": [random.random()]}
        for trial in range(spec.configurations)
    }
    figures[0]["plausibility"] = [None]
    (found,) = importances(pareto_result([made_results(spec, figures)]))
    assert found.configurations == spec.configurations - 1
    assert set(found.shares[FRONT]) == set(space)
    assert sum(found.shares[FRONT].values()) == pytest.approx(1)
