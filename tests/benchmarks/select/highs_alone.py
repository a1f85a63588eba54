"""HiGHS without our help: no first answer, no cuts, the linear model as anybody would write it."""

import time

import highspy
import numpy as np

from qpmstudy.selection import SelectionProblem
from qpmstudy.selection.assignment import alike
from qpmstudy.selection.highs import translate
from qpmstudy.selection.linear import LinearModel

ALONE = ("highs-alone", "highs-lp")


def solve_alone(
    problem: SelectionProblem, solver: str, gap: float, limit: float
) -> tuple[float, float, str, float]:
    """Return objective, bound, status and seconds of HiGHS on the linear model or its relaxation.

    No row tells classes apart: the status says so where classes of the answer are alike, and
    the objective is then above what the problem allows.
    """
    model = LinearModel(problem)
    lp = translate(model)
    if solver == "highs-lp":
        lp.integrality_ = []
    highs = highspy.Highs()
    options = {
        "output_flag": False,
        "threads": 1,
        "mip_rel_gap": gap,
        "time_limit": limit,
        **({"solver": "ipm", "run_crossover": "off"} if solver == "highs-lp" else {}),
    }
    for option, value in options.items():
        highs.setOptionValue(option, value)
    highs.passModel(lp)
    begin = time.perf_counter()
    highs.run()
    seconds = time.perf_counter() - begin
    status = highs.modelStatusToString(highs.getModelStatus()).lower()
    info = highs.getInfo()
    if solver == "highs-lp":
        return float("nan"), -info.objective_function_value, status, seconds
    objective = float("nan")
    if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
        objective = -info.objective_function_value
        _, assignment = model.decode(np.array(highs.getSolution().col_value))
        status += ", classes alike" if alike(assignment) else ""
    return objective, -info.mip_dual_bound, status, seconds
