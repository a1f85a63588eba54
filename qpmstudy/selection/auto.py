"""The default: Gurobi where it is installed and a license covers the size, else the open solver."""

from qpmstudy.selection.base import Limits, Selection
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.solving import attempted_or_open


class AutoSolver:
    """`auto`: the answer's `solver` says which one it was, its `fallback` why it was not Gurobi."""

    name = "auto"

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None: the open solver takes what Gurobi does not."""
        return None

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return Gurobi's answer where it can give one, else the open solver's."""
        return attempted_or_open("gurobi", problem, limits)
