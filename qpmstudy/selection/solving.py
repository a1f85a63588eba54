"""A solver by its name: its answer checked by other code, the open solver's where it has none."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from qpmstudy.errors import ConfigError, NotInstalledError, SolverError
from qpmstudy.registry import Registry
from qpmstudy.selection.base import Limits, Progress, Selection, Solver, Trace
from qpmstudy.selection.problem import SelectionProblem

SOLVERS: Registry[type[Solver]] = Registry(
    "selection solver",
    {
        "auto": "qpmstudy.selection.auto:AutoSolver",
        "lagrangian": "qpmstudy.selection.lagrangian:LagrangianSolver",
        "gurobi": "qpmstudy.selection.gurobi:GurobiSolver",
        "highs": "qpmstudy.selection.highs:HighsSolver",
    },
)

OPEN_SOLVER = "lagrangian"
"""Takes every problem and needs no license: the one to fall back on."""
FALLBACKS = ("fail", OPEN_SOLVER)
"""What to do when a solver cannot answer."""

_log = logging.getLogger(__name__)

_CHECK = 1e-6
"""Relative difference allowed between a solver's numbers and those computed here."""
_LAST_SHARE = 0.1
"""Share of the time limit that the open solver has when another one has spent it all."""


def solve(
    problem: SelectionProblem,
    solver: str = "auto",
    gap: float = 5e-3,
    time_limit: float = 60.0,
    seed: int = 0,
    threads: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    fallback: str = "fail",
) -> Selection:
    """Return a feasible selection with an upper bound, checked by code that did not find it.

    Stops when the relative gap (bound - objective) / |objective| is at most `gap`, or after
    `time_limit` seconds. Equal seeds give equal answers unless time runs out. `on_progress` is
    told of every better answer and every lower bound; `threads` is how many cores may be used.
    With `fallback` "lagrangian" the open solver answers, in the time that is left, where the one
    asked for has no package, no license or no success; the answer's `fallback` says why.

    Raises:
        ConfigError: the solver or fallback is unknown, or a limit is negative.
        NotInstalledError: the solver's package is missing.
        SolverError: the solver cannot take this problem on, failed, or gave a wrong answer.
    """
    if not gap >= 0 or not time_limit > 0:
        raise ConfigError(
            f"gap is {gap} and time_limit {time_limit}: the gap must be at least 0 and the "
            f"time limit above 0 seconds."
        )
    if fallback not in FALLBACKS:
        raise ConfigError(f"fallback is {fallback!r}: the choices are {', '.join(FALLBACKS)}.")
    trace = Trace(on_progress)
    limits = Limits(gap, time_limit, seed, threads, trace)
    attempt = attempted if fallback == "fail" else attempted_or_open
    answer = attempt(solver, problem, limits)
    _check(problem, answer)
    trace.note(answer.objective, answer.bound)
    return replace(answer, trace=tuple(trace.steps))


def attempted(solver: str, problem: SelectionProblem, limits: Limits) -> Selection:
    """Return the unchecked answer of a solver.

    Raises:
        NotInstalledError: its package is missing.
        SolverError: it cannot take this problem on, or failed.
    """
    chosen = SOLVERS.get(solver)()
    refusal = chosen.can_solve(problem)
    if refusal is not None:
        raise SolverError(f"The selection solver {solver!r} cannot take this problem: {refusal}")
    return chosen.solve(problem, limits)


def attempted_or_open(solver: str, problem: SelectionProblem, limits: Limits) -> Selection:
    """Return the unchecked answer of a solver, or why not and the open solver's answer."""
    begin = time.perf_counter()
    try:
        return attempted(solver, problem, limits)
    except (NotInstalledError, SolverError) as error:
        reason = str(error)
    _log.info("The open solver takes over from %r: %s", solver, reason)
    limits.trace.steps.clear()  # an answer comes with its own proof
    spent = time.perf_counter() - begin
    left = max(limits.time_limit - spent, _LAST_SHARE * limits.time_limit)
    answer = attempted(OPEN_SOLVER, problem, replace(limits, time_limit=left))
    return replace(answer, fallback=reason, seconds=answer.seconds + spent)


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
