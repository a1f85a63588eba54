"""HiGHS as a selection solver (optional package highspy): the open reference for the bounds."""

import highspy
import numpy as np

from qpmstudy.errors import SolverError
from qpmstudy.selection.base import Limits, Selection
from qpmstudy.selection.linear import LinearModel, Round, solve_in_rounds
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.search import Candidate


class HighsSolver:
    """`highs`: one thread, warm started by the open solver's search."""

    name = "highs"

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None: HiGHS takes every size, if not in every time limit."""
        return None

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return the best selection found, its bound, and how it stopped."""

        def run(model: LinearModel, start: Candidate, gap: float, seconds: float) -> Round:
            return _run(model, start, Limits(gap, seconds, limits.seed))

        return solve_in_rounds(self.name, problem, limits, run)


def _run(model: LinearModel, start: Candidate, limits: Limits) -> Round:
    highs = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy leaves it unannotated
    options = {
        "output_flag": False,
        "threads": 1,
        "mip_rel_gap": limits.gap,
        "mip_abs_gap": 0.0,
        "time_limit": limits.time_limit,
        "random_seed": limits.seed % 2**31,
    }
    for option, value in options.items():
        highs.setOptionValue(option, value)
    highs.passModel(_translate(model))
    solution = highspy.HighsSolution()
    solution.col_value = model.encode(start).tolist()
    highs.setSolution(solution)
    highs.run()
    status = highs.getModelStatus()
    known = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kTimeLimit)
    if status not in known:
        raise SolverError(
            f"HiGHS stopped with status {highs.modelStatusToString(status)!r}: "
            f"use solver 'lagrangian'."
        )
    info = highs.getInfo()
    x = np.array(highs.getSolution().col_value)
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        x = model.encode(start)
    return Round(x, -info.mip_dual_bound)


def _translate(model: LinearModel) -> highspy.HighsLp:
    n_rows, n_columns = model.rows.shape
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n_columns, n_rows
    lp.col_cost_ = -model.profit
    lp.col_lower_, lp.col_upper_ = np.zeros(n_columns), np.ones(n_columns)
    lp.row_lower_, lp.row_upper_ = model.lower, model.upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = model.rows.indptr
    lp.a_matrix_.index_ = model.rows.indices
    lp.a_matrix_.value_ = model.rows.data
    kinds = [highspy.HighsVarType.kInteger] * model.n_binary
    kinds += [highspy.HighsVarType.kContinuous] * (n_columns - model.n_binary)
    lp.integrality_ = kinds
    return lp
