"""Gurobi as a selection solver, where a license covers the size of the model."""

import gurobipy as gp
import numpy as np
from gurobipy import GRB

from qpmstudy.errors import SolverError
from qpmstudy.selection.base import Limits, Selection
from qpmstudy.selection.linear import LinearModel, Round, model_size, solve_in_rounds
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.search import Candidate

_FREE_SIZE = 2000
"""Variables, and rows, that the license which comes with gurobipy covers."""
_SPARE_ROWS = 100
"""Rows kept free for the rounds that tell classes apart."""


class GurobiSolver:
    """`gurobi`: one thread, warm started by the open solver's search."""

    name = "gurobi"

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None, or why not: no valid license, or one that does not cover the size.

        The size is compared before the model is built.
        """
        n_variables, n_rows = model_size(problem)
        try:
            with _environment() as environment:
                fits = max(n_variables, n_rows + _SPARE_ROWS) <= _FREE_SIZE
                if fits or _unlimited(environment):
                    return None
        except gp.GurobiError as error:
            return f"there is no valid Gurobi license ({error}). Renew it, or use 'lagrangian'."
        return (
            f"it has {n_variables} variables and {n_rows} rows, but the Gurobi license found here "
            f"is limited to {_FREE_SIZE} of each ({_SPARE_ROWS} rows are kept spare). Install a "
            f"full license, or use solver 'lagrangian'."
        )

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return the best selection found, its bound, and how it stopped."""

        def run(model: LinearModel, start: Candidate, gap: float, seconds: float) -> Round:
            return _run(model, start, Limits(gap, seconds, limits.seed))

        try:
            return solve_in_rounds(self.name, problem, limits, run)
        except gp.GurobiError as error:
            raise SolverError(
                f"Gurobi failed on the selection problem: {error}. Check the license, or use "
                f"solver 'lagrangian'."
            ) from error


def _environment() -> gp.Env:
    return gp.Env(params={"OutputFlag": 0})


def _unlimited(environment: gp.Env) -> bool:
    with gp.Model(env=environment) as probe:
        probe.addVars(_FREE_SIZE + 1)
        try:
            probe.optimize()
        except gp.GurobiError as error:
            if error.errno == GRB.Error.SIZE_LIMIT_EXCEEDED:
                return False
            raise
    return True


def _run(model: LinearModel, start: Candidate, limits: Limits) -> Round:
    with _environment() as environment, gp.Model(env=environment) as gurobi:
        gurobi.Params.Threads = 1
        gurobi.Params.MIPGap = limits.gap
        gurobi.Params.TimeLimit = limits.time_limit
        gurobi.Params.Seed = limits.seed % GRB.MAXINT
        kinds = np.full(len(model.profit), GRB.CONTINUOUS)
        kinds[: model.n_binary] = GRB.BINARY
        x = gurobi.addMVar(len(model.profit), ub=1.0, vtype=kinds)
        gurobi.setObjective(model.profit @ x, GRB.MAXIMIZE)
        exact = model.lower == model.upper
        gurobi.addConstr(model.rows[exact] @ x == model.upper[exact])
        gurobi.addConstr(model.rows[~exact] @ x <= model.upper[~exact])
        x.setAttr("Start", model.encode(start))
        gurobi.optimize()
        if gurobi.SolCount == 0:
            return Round(model.encode(start), float(gurobi.ObjBound))
        return Round(np.asarray(x.X), float(gurobi.ObjBound))
