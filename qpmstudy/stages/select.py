"""Selection: which N* features, and which k of them each class uses."""

import math

import torch

from qpmstudy.selection import SelectionProblem, solve
from qpmstudy.stages.base import StageContext, StageOutput


def select(context: StageContext) -> StageOutput:
    """Solve the quadratic program on the dense model's training features.

    Returns:
        Tensors: "selected" (N*,) feature indices, ascending; "assignment" (C, N*) bool.
        Facts: the certificate ("objective", "bound", "gap", "status", "solver", "seconds").
    """
    config = context.config.select
    dense = context.inputs["dense"].tensors
    problem = SelectionProblem.from_features(
        dense["features"].numpy(), dense["labels"].numpy(), config.features, config.per_class
    )
    selection = solve(
        problem,
        solver=config.solver,
        gap=config.gap,
        time_limit=config.time_limit,
        seed=context.seed,
    )
    return StageOutput(
        tensors={
            "selected": torch.as_tensor(selection.selected, dtype=torch.int64),
            "assignment": torch.as_tensor(selection.assignment, dtype=torch.bool),
        },
        facts={
            "objective": float(selection.objective),
            "bound": float(selection.bound),
            "gap": float(selection.gap) if math.isfinite(selection.gap) else None,
            "status": selection.status.value,
            "solver": selection.solver,
            "seconds": float(selection.seconds),
        },
    )
