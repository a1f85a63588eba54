"""The default: Gurobi where it is installed and a license covers the size, else the open solver."""

import logging

from qpmstudy.errors import NotInstalledError, SolverError
from qpmstudy.selection import SOLVERS
from qpmstudy.selection.base import Limits, Selection
from qpmstudy.selection.lagrangian import LagrangianSolver
from qpmstudy.selection.problem import SelectionProblem

_log = logging.getLogger(__name__)


class AutoSolver:
    """`auto`: the answer's `solver` says which one it was."""

    name = "auto"

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None: the open solver takes what Gurobi does not."""
        return None

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return Gurobi's answer where it can give one, else the open solver's."""
        try:
            gurobi = SOLVERS.get("gurobi")()
            refusal = gurobi.can_solve(problem)
            if refusal is None:
                return gurobi.solve(problem, limits)
        except (NotInstalledError, SolverError) as error:
            refusal = str(error)
        _log.info("Gurobi is not used: %s", refusal)
        return LagrangianSolver().solve(problem, limits)
