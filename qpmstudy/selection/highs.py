"""HiGHS as a selection solver (optional package highspy): the open reference for the bounds."""

import atexit
import time
from collections.abc import Callable
from threading import Event, Thread

import highspy
import numpy as np
from highspy.highs import HighsCallbackEvent
from jaxtyping import Float64

from qpmstudy.errors import SolverError
from qpmstudy.selection.base import Limits, Selection
from qpmstudy.selection.linear import LinearModel
from qpmstudy.selection.linear_run import Run
from qpmstudy.selection.problem import SelectionProblem

_PATIENCE = 1.0
"""Seconds that HiGHS has to stop after Ctrl-C or its time: inside one linear programme it does
not, and is left behind."""
_PARTING = 8.0
"""Seconds that the end of the interpreter waits for what was left behind."""
_left_behind: set[Event] = set()
"""Of each solve that was, what is set when it ends."""


@atexit.register
def _await_left_behind() -> None:
    """Let solves end, which they do after the linear programme they are in.

    One that comes back to an interpreter which is on its way out is unwound by force, and C++ then
    aborts the whole process.
    """
    deadline = time.monotonic() + _PARTING
    for done in tuple(_left_behind):
        done.wait(max(0.0, deadline - time.monotonic()))


class HighsSolver:
    """`highs`: warm started by the open solver, solved anew while classes are alike."""

    name = "highs"

    def can_solve(self, problem: SelectionProblem) -> str | None:
        """Return None: HiGHS takes every size, if not in every time limit."""
        return None

    def solve(self, problem: SelectionProblem, limits: Limits) -> Selection:
        """Return the best selection found, its bound, and how it stopped."""
        run = Run(problem, limits)
        for group in run.clashes:
            run.model.tell_apart(group)
        finished = False
        while run.left > 0:
            shared = run.offer(_Round(run).solve())
            finished = run.closed
            if finished or not shared:
                break
            for _, classes in shared:
                run.model.tell_apart(classes)
        return run.answer(self.name, finished)


class _Round:
    """HiGHS on the model as it stands, in a thread, so that Ctrl-C is heard at once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._stop, self._done = Event(), Event()
        self._error: Exception | None = None
        self._highs = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy leaves it out
        options = {
            "output_flag": False,
            "threads": run.limits.threads,
            "mip_rel_gap": run.limits.gap,
            "mip_abs_gap": 0.0,
            "time_limit": max(run.left, 0.0),
            "random_seed": run.limits.seed % 2**31,
        }
        for option, value in options.items():
            self._highs.setOptionValue(option, value)
        self._highs.passModel(translate(run.model))
        self._start = run.model.encode(run.best)
        solution = highspy.HighsSolution()
        solution.col_value = self._start.tolist()
        self._highs.setSolution(solution)
        self._highs.cbMipImprovingSolution += self._guarded(self._improved)
        self._highs.cbMipInterrupt += self._guarded(self._bounded)
        self._highs.cbSimplexInterrupt += self._guarded(lambda state: None)

    def solve(self) -> Float64[np.ndarray, " X"]:
        """Return the solution, and tell the run of its bound; the start where HiGHS overran.

        Every round has a thread of its own: HiGHS keeps the number of its workers by thread.
        """
        Thread(target=self._work, daemon=True).start()
        try:
            # Not Thread.join: interrupted, it takes a thread that runs for one that has ended.
            while not self._done.wait(0.1):
                if self._run.left < -_PATIENCE:
                    self._leave()
                    return self._start
        except BaseException:
            self._leave()
            self._done.wait(_PATIENCE)
            raise
        if self._error is not None:
            raise self._error
        return self._result()

    def _work(self) -> None:
        try:
            self._highs.run()
        except Exception as error:  # raised where the round is awaited
            self._error = error
        finally:
            self._done.set()
            _left_behind.discard(self._done)

    def _leave(self) -> None:
        """Tell the solve to end, without waiting for it."""
        self._stop.set()
        if not self._done.is_set():
            _left_behind.add(self._done)

    def _guarded(
        self, report: Callable[[highspy.cb.HighsCallbackOutput], None]
    ) -> Callable[[HighsCallbackEvent], None]:
        """Return a callback that ends the solve, instead of unwinding it, when `report` fails."""

        def callback(event: HighsCallbackEvent) -> None:
            try:
                if not self._stop.is_set():
                    report(event.data_out)
            except Exception as error:
                self._error = error
                self._stop.set()
            if self._stop.is_set():
                event.interrupt()

        return callback

    def _improved(self, state: highspy.cb.HighsCallbackOutput) -> None:
        self._run.offer(np.asarray(state.mip_solution))

    def _bounded(self, state: highspy.cb.HighsCallbackOutput) -> None:
        self._run.lower(-state.mip_dual_bound)

    def _result(self) -> Float64[np.ndarray, " X"]:
        status = self._highs.getModelStatus()
        if status not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kTimeLimit):
            raise SolverError(
                f"HiGHS stopped with status {self._highs.modelStatusToString(status)!r}: "
                f"use solver 'lagrangian'."
            )
        info = self._highs.getInfo()
        self._run.lower(-info.mip_dual_bound)
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return self._start
        return np.array(self._highs.getSolution().col_value)


def translate(model: LinearModel) -> highspy.HighsLp:
    """Return the model as HiGHS takes it: to be minimised, so with the profit's sign changed."""
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
    kinds = [highspy.HighsVarType.kContinuous] * n_columns
    kinds[: model.n_binary] = [highspy.HighsVarType.kInteger] * model.n_binary
    lp.integrality_ = kinds
    return lp
