"""The ways to select features, by name, and how a model is fine-tuned under the layer of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from qpmstudy.config import SelectConfig
from qpmstudy.errors import SolverError
from qpmstudy.registry import Registry
from qpmstudy.selection import SelectionProblem, solve
from qpmstudy.selection.base import Progress, Selection
from qpmstudy.selection.qsenn import qsenn, requantised
from qpmstudy.selection.sldd import SparseLayer, sldd
from qpmstudy.selection.solving import OPEN_SOLVER


@dataclass(frozen=True)
class Means:
    """What a selection may use, besides what it is made from; methods take what they need."""

    seed: int = 0
    threads: int = 1
    bias: Shaped[np.ndarray, "..."] | None = None
    """b (F,) of QPM's objective."""
    on_progress: Callable[[Progress], None] | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)
    """Solvers that may not be used here, each with the reason."""


class Selected(NamedTuple):
    """What a method selects, and how good that is proven to be where the method has a proof."""

    layer: SparseLayer
    certificate: Selection | None


Select = Callable[[np.ndarray, np.ndarray, SelectConfig, Means], Selected]
"""Features of the dense model (N, F) and labels (N,) -> `config.features` of them and a layer."""

Renew = Callable[[np.ndarray, np.ndarray, int], SparseLayer]
"""Features of the fine-tuned model (N, S), labels (N,), k -> a layer on all of them."""


@dataclass(frozen=True)
class Method:
    """A selection method, with what it changes about fine-tuning."""

    title: str
    select: Select
    dropout: float = 0.0
    """Share of the features dropped in each step of fine-tuning."""
    rounds: int = 1
    """How often the model is fine-tuned under a new layer; the first is that of `select`."""
    renew: Renew | None = None
    """Gives the layers of the later rounds."""


def _qpm(
    features: Shaped[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    config: SelectConfig,
    means: Means,
) -> Selected:
    solver, reason = _available(config, means.withheld)
    problem = SelectionProblem.from_features(
        features, labels, config.features, config.per_class, means.bias, config.pair_rule
    )
    answer = solve(
        problem,
        solver=solver,
        gap=config.gap,
        time_limit=config.time_limit,
        seed=means.seed,
        threads=means.threads,
        on_progress=means.on_progress,
        fallback=config.fallback,
    )
    weight = answer.assignment.astype(np.float64)
    certificate = replace(answer, fallback=reason) if reason else answer
    return Selected(SparseLayer(answer.selected, weight, np.zeros(len(weight))), certificate)


def _available(config: SelectConfig, withheld: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the solver to use, and why it is another than the one asked for, if it is."""
    wanted = "gurobi" if config.solver == "auto" else config.solver  # what `auto` tries first
    if wanted not in withheld:
        return config.solver, None
    if config.solver != "auto" and config.fallback == "fail":
        raise SolverError(
            f"The selection solver {wanted!r} may not be used here: {withheld[wanted]}. Set "
            f"select.fallback: {OPEN_SOLVER} to let the open solver take over."
        )
    return OPEN_SOLVER, withheld[wanted]


def _unproven(layer_of: Callable[[np.ndarray, np.ndarray, int, int], SparseLayer]) -> Select:
    """Return a selection by what needs no means and proves nothing about its answer."""

    def select(
        features: np.ndarray, labels: np.ndarray, config: SelectConfig, _: Means
    ) -> Selected:
        return Selected(layer_of(features, labels, config.features, config.per_class), None)

    return select


QPM = Method("DINO-QPM", _qpm)
SLDD = Method("SLDD-Model", _unproven(sldd), dropout=0.1)
QSENN = Method("Q-SENN", _unproven(qsenn), dropout=0.1, rounds=4, renew=requantised)

METHODS: Registry[Method] = Registry(
    "selection method",
    {
        "qpm": "qpmstudy.selection.methods:QPM",
        "sldd": "qpmstudy.selection.methods:SLDD",
        "qsenn": "qpmstudy.selection.methods:QSENN",
    },
)
"""Dropout and rounds are those of the code published with the SLDD-Model and Q-SENN."""
