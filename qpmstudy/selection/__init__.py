"""Which features does a model keep, and which class uses which? The quadratic problem of QPM.

problem     what is asked
base        the answer, its proof, what a solver offers
constants   relevance, similarity and pair penalties, made from features and labels
spread      the threshold of the pair penalties
assignment  the best assignment for given features, no two classes alike
search      swap search for good selections
cuts, incidence, relaxation, branch   upper bounds and proof
lagrangian, gurobi, highs, auto       the solvers
glm, glm_penalties, glm_solver        sparse logistic regression and its path
sldd, sldd_features, qsenn            the selections that came before QPM's
alone       any of them by itself, from a file of features
"""

from collections.abc import Callable
from dataclasses import replace

from qpmstudy.errors import ConfigError, SolverError
from qpmstudy.registry import Registry
from qpmstudy.selection.base import (
    Limits,
    Progress,
    Selection,
    Solver,
    Status,
    Trace,
    relative_gap,
)
from qpmstudy.selection.constants import pair_penalties, relevance, similarity
from qpmstudy.selection.problem import SelectionProblem

__all__ = [
    "SOLVERS",
    "Limits",
    "Progress",
    "Selection",
    "SelectionProblem",
    "Solver",
    "Status",
    "Trace",
    "pair_penalties",
    "relative_gap",
    "relevance",
    "similarity",
    "solve",
]

SOLVERS: Registry[type[Solver]] = Registry(
    "selection solver",
    {
        "auto": "qpmstudy.selection.auto:AutoSolver",
        "lagrangian": "qpmstudy.selection.lagrangian:LagrangianSolver",
        "gurobi": "qpmstudy.selection.gurobi:GurobiSolver",
        "highs": "qpmstudy.selection.highs:HighsSolver",
    },
)

_CHECK = 1e-6
"""Relative difference allowed between a solver's numbers and those computed here."""


def solve(
    problem: SelectionProblem,
    solver: str = "auto",
    gap: float = 5e-3,
    time_limit: float = 60.0,
    seed: int = 0,
    threads: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> Selection:
    """Return a feasible selection with an upper bound, checked by code that did not find it.

    Stops when the relative gap (bound - objective) / |objective| is at most `gap`, or after
    `time_limit` seconds. Equal seeds give equal answers unless time runs out. `on_progress` is
    told of every better answer and every lower bound; `threads` is how many cores may be used.

    Raises:
        ConfigError: the solver is unknown, or a limit is negative.
        NotInstalledError: the solver's package is missing.
        SolverError: the solver cannot take this problem on, failed, or gave a wrong answer.
    """
    if not gap >= 0 or not time_limit > 0:
        raise ConfigError(
            f"gap is {gap} and time_limit {time_limit}: the gap must be at least 0 and the "
            f"time limit above 0 seconds."
        )
    chosen = SOLVERS.get(solver)()
    refusal = chosen.can_solve(problem)
    if refusal is not None:
        raise SolverError(f"The selection solver {solver!r} cannot take this problem: {refusal}")
    trace = Trace(on_progress)
    answer = chosen.solve(problem, Limits(gap, time_limit, seed, threads, trace))
    _check(problem, answer)
    trace.note(answer.objective, answer.bound)
    return replace(answer, trace=tuple(trace.steps))


def _check(problem: SelectionProblem, answer: Selection) -> None:
    wrong = problem.violations(answer.selected, answer.assignment)
    if not wrong:
        objective = problem.objective(answer.selected, answer.assignment)
        tolerance = _CHECK * max(1.0, abs(objective))
        if abs(objective - answer.objective) > tolerance:
            wrong.append(f"its objective is {objective}, not {answer.objective}")
        if answer.bound < objective - tolerance:
            wrong.append(f"its bound {answer.bound} is below its objective {objective}")
    if wrong:
        raise SolverError(
            f"The selection solver {answer.solver!r} gave a wrong answer: {'; '.join(wrong[:5])}. "
            f"This is a bug: please report it, and use another solver."
        )
