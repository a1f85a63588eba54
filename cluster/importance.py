"""How much each parameter decides: PED-ANOVA, by Optuna, on a study rebuilt from the rows.

It asks how differently a parameter is distributed among the best configurations and among all
(Watanabe et al., "PED-ANOVA", IJCAI 2023): for one objective among the best in it, for the front
among those that fewest others beat.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from cluster.samplers import distribution
from storage.analysis import ParetoResult, StudyResults
from storage.study import Parameter

optuna.logging.set_verbosity(optuna.logging.ERROR)

FRONT = "front"
"""The name that the importance for reaching the front has beside those of objectives."""
FEWEST = 6
"""Configurations below which nothing is said."""
FEW = 20
"""Configurations below which the answer is called rough."""
BEST = 5
"""How many of the best are compared with all at least, where there are twice as many."""
SHARE = 0.1
"""Which share of all are the best otherwise."""


@dataclass(frozen=True)
class Importance:
    """What decides in one study.

    Attributes:
        study: its name.
        shares: of each parameter that has more than one value, by objective and then for FRONT;
            they sum to 1, unless the best are distributed like all: then they are 0.
        configurations: how many it is based on.
        best: how many of them are the best.
        constant: parameters with one value, which decide nothing.
        notes: why there is no answer, or how far to trust it.
    """

    study: str
    shares: Mapping[str, Mapping[str, float]]
    configurations: int
    best: int
    constant: tuple[str, ...]
    notes: tuple[str, ...]


def importances(result: ParetoResult) -> list[Importance]:
    """Return what decides in each study, for every objective and for reaching the front.

    Configurations count that may be on the front and have every objective, whether or not they
    keep to the constraints. The front is that of the study alone.
    """
    return [_importance(result, study) for study in result.studies]


def _importance(result: ParetoResult, study: StudyResults) -> Importance:
    mine = [
        index
        for index, member in enumerate(result.members)
        if member.study == study.spec.name
        and member.eligible
        and np.isfinite(result.front.means[index]).all()
    ]
    chosen = [
        {name: value for name, value in result.members[index].searched.items() if value != "-"}
        for index in mine
    ]
    varied: list[Parameter] = []
    constant: list[Parameter] = []
    for parameter in study.spec.parameters:
        seen = {values[parameter.name] for values in chosen if parameter.name in values}
        (varied if len(seen) > 1 else constant).append(parameter)
    best = _best(len(mine))
    notes = _notes(len(mine), len(varied))
    shares: dict[str, dict[str, float]] = {}
    if len(mine) >= FEWEST and varied:
        rebuilt = _rebuilt(result, mine, varied, chosen)
        for position, (name, way) in enumerate(result.objectives.items()):
            shares[name] = _shares(rebuilt, varied, best / len(mine), position, way)
        if len(result.objectives) > 1:
            shares[FRONT] = _shares(rebuilt, varied, best / len(mine))
    return Importance(
        study.spec.name,
        shares,
        len(mine),
        best,
        tuple(parameter.name for parameter in constant),
        tuple(notes),
    )


def _best(count: int) -> int:
    return max(math.ceil(SHARE * count), min(BEST, count // 2))


def _notes(configurations: int, varied: int) -> list[str]:
    if not varied:
        return ["no parameter has more than one value"]
    if configurations < FEWEST:
        return [f"{configurations} configurations are too few to say what decides ({FEWEST})"]
    if configurations < FEW:
        return [f"{configurations} configurations are few: read the shares as an order, roughly"]
    return []


def _rebuilt(
    result: ParetoResult,
    indices: Sequence[int],
    parameters: Sequence[Parameter],
    chosen: Sequence[Mapping[str, object]],
) -> optuna.Study:
    """Return a study in memory with the given configurations of a result."""
    by_name = {parameter.name: distribution(parameter) for parameter in parameters}
    study = optuna.create_study(
        directions=[
            "maximize" if way == "max" else "minimize" for way in result.objectives.values()
        ]
    )
    study.add_trials([
        optuna.trial.create_trial(
            params={name: values[name] for name in by_name if name in values},
            distributions={name: kind for name, kind in by_name.items() if name in values},
            values=result.front.means[index].tolist(),
        )
        for index, values in zip(indices, chosen, strict=True)
    ])  # fmt: skip
    return study


def _shares(
    study: optuna.Study,
    parameters: Sequence[Parameter],
    best: float,
    objective: int | None = None,
    way: str = "max",
) -> dict[str, float]:
    """Return shares for one objective, or for the front; the greatest first."""
    sign = -1 if way == "max" else 1  # the evaluator takes low targets for good
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that low is good; that a value of a parameter is rare
        found = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=best),
            params=[parameter.name for parameter in parameters],
            target=None if objective is None else lambda trial: sign * trial.values[objective],
            normalize=False,  # Optuna shares a sum of 0 out equally
        )
    total = sum(found.values())
    return {name: value / total if total > 0 else 0.0 for name, value in found.items()}
