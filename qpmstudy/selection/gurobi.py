"""Gurobi as a selection solver, where a license covers the size of the model.

Ways to tell classes apart were compared where the size-limited license (2000 variables and rows,
200 variables with a quadratic objective) covers the model; seconds of CPU time to proof after the
warm start, gurobipy 13.0.3, one thread:

    features x classes             rounds, a cut    rounds, rows of    lazy cuts    quadratic
                                   for each set     `tell_apart`       in one tree  objective
    11 x 5, 10_qp_05                        0.19               0.02           0.03       0.03
    20 x 10, three pairs alike              0.84               0.25           0.09          -
    30 x 15, dense penalties                0.45               0.47           0.15          -
    40 x 20, dense penalties                1.42               1.51           1.35          -

so it is lazy cuts. The quadratic objective, which Gurobi linearises itself, has lazy cuts too and
is no better in the one case that could be measured (-: not covered by the license).
"""

import math
import time
from dataclasses import replace

import gurobipy as gp
import numpy as np
from gurobipy import GRB

from qpmstudy.errors import SolverError
from qpmstudy.selection.base import Limits, Selection
from qpmstudy.selection.gurobi_environment import ENVIRONMENT, FREE_SIZE, covers_all_sizes
from qpmstudy.selection.linear import model_size
from qpmstudy.selection.linear_run import Run
from qpmstudy.selection.problem import SelectionProblem

_WAITING_SHARE, _LONGEST_WAIT = 0.5, 60.0
"""Largest share of the time limit, and most seconds, that a license is waited for."""


class GurobiSolver:
    """`gurobi`: warm started by the open solver, one tree, classes told apart where alike."""

    name = "gurobi"

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None: what the license covers is known once it is held, so `solve` says it."""
        return None

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return the best selection found, its bound, and how it stopped.

        Raises:
            SolverError: no license was to be had, it does not cover the size, or Gurobi failed.
        """
        begin = time.perf_counter()
        patience = min(_WAITING_SHARE * limits.time_limit, _LONGEST_WAIT)
        try:
            with ENVIRONMENT.use(patience) as environment:
                most_rows = math.inf
                if not covers_all_sizes(environment):
                    _check_size(problem)
                    most_rows = FREE_SIZE
                left = limits.time_limit - (time.perf_counter() - begin)
                run = Run(problem, replace(limits, time_limit=left), most_rows)
                finished = _Tree(run, environment).solve()
                return run.answer(self.name, finished)
        except gp.GurobiError as error:
            raise SolverError(
                f"Gurobi failed on the selection problem: {error} (error {error.errno}). Use "
                f"solver 'auto' or 'lagrangian'."
            ) from error


def _check_size(problem: SelectionProblem) -> None:
    n_variables, n_rows = model_size(problem)
    if max(n_variables, n_rows) > FREE_SIZE:
        raise SolverError(
            f"The selection problem has {n_variables} variables and {n_rows} rows, but the Gurobi "
            f"license found here is limited to {FREE_SIZE} of each. Install a full license, or "
            f"use solver 'auto' or 'lagrangian'."
        )


class _Tree:
    """Gurobi on the model of a run. It swallows what callbacks raise, so that is kept here."""

    def __init__(self, run: Run, environment: gp.Env) -> None:
        self._run = run
        self._environment = environment
        self._error: BaseException | None = None

    def solve(self) -> bool:
        """Tell the run of answers and bounds; return whether Gurobi finished in time.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C, which Gurobi takes for itself.
        """
        run, model = self._run, self._run.model
        with gp.Model(env=self._environment) as gurobi:
            gurobi.Params.LazyConstraints = 1
            gurobi.Params.Threads = run.limits.threads
            gurobi.Params.MIPGap = run.limits.gap
            gurobi.Params.MIPGapAbs = 0.0
            gurobi.Params.Seed = run.limits.seed % GRB.MAXINT
            kinds = np.full(len(model.profit), GRB.CONTINUOUS)
            kinds[: model.n_binary] = GRB.BINARY
            x = gurobi.addMVar(len(model.profit), ub=1.0, vtype=kinds)
            gurobi.setObjective(model.profit @ x, GRB.MAXIMIZE)
            exact = model.lower == model.upper
            gurobi.addConstr(model.rows[exact] @ x == model.upper[exact])
            gurobi.addConstr(model.rows[~exact] @ x <= model.upper[~exact])
            x.setAttr("Start", model.encode(run.best))
            self._x = x.tolist()
            gurobi.Params.TimeLimit = max(run.left, 0.0)
            gurobi.optimize(self._callback)
            if self._error is not None:
                raise self._error
            if gurobi.Status == GRB.INTERRUPTED:
                raise KeyboardInterrupt
            run.lower(float(gurobi.ObjBound))
            if gurobi.SolCount:
                run.offer(np.asarray(x.X))
        return run.closed

    def _callback(self, gurobi: gp.Model, where: int) -> None:
        try:
            if where == GRB.Callback.MIP:
                self._run.lower(gurobi.cbGet(GRB.Callback.MIP_OBJBND))
            elif where == GRB.Callback.MIPSOL:
                self._found(gurobi)
        except BaseException as error:
            self._error = error
            gurobi.terminate()

    def _found(self, gurobi: gp.Model) -> None:
        """Offer a solution; where classes are alike in it, forbid that and hand in a better one."""
        run = self._run
        for features, classes in run.offer(np.array(gurobi.cbGetSolution(self._x))):
            cells, most = run.model.forbidden(features, classes)
            gurobi.cbLazy(gp.quicksum(self._x[cell] for cell in cells) <= most)
            gurobi.cbSetSolution(self._x, run.model.encode(run.best).tolist())
