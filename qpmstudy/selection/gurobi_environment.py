"""One Gurobi environment a process: it holds the license, so it is shared, and given back early.

Starting one takes a token of a floating or web license, which stays taken until the environment
is disposed of. It is kept for the next solve, but not by a process that has nothing to solve.
"""

import atexit
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import gurobipy as gp
from gurobipy import GRB

from qpmstudy.errors import SolverError
from qpmstudy.selection.licenses import explain, is_transient

FREE_SIZE = 2000
"""Variables, and rows, that the license which comes with gurobipy covers."""
_IDLE = 30.0
"""Seconds without a solve after which the license is given back."""
_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between two tries to get a license that is not to be had just now."""
_NO_EXPIRY = 99999999
"""What Gurobi says of licenses that do not expire; else yyyymmdd."""


class SharedEnvironment:
    """An environment that is started on first use and disposed of `idle` seconds after the last.

    Gurobi's environments are for one thread at a time: a second thread waits for the first.
    """

    def __init__(self, idle: float = _IDLE) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._environment: gp.Env | None = None
        self._timer: threading.Timer | None = None
        atexit.register(self.close)

    @property
    def held(self) -> bool:
        """Whether this process holds a license at the moment."""
        return self._environment is not None

    @contextmanager
    def use(self, patience: float) -> Iterator[gp.Env]:
        """Yield the environment; a failure inside the block disposes of it.

        Raises:
            SolverError: no license was to be had, for good or for `patience` seconds, or another
                thread of this process used the environment for that long.
        """
        deadline = time.perf_counter() + patience
        if not self._lock.acquire(timeout=patience):
            raise SolverError(
                f"Another thread of this process has been using Gurobi for {patience:.0f} s: "
                f"solve one problem after the other, or use solver 'lagrangian'."
            )
        try:
            self._forget_timer()
            if self._environment is None:
                self._environment = _start(deadline)
            yield self._environment
            self._timer = threading.Timer(self._idle, self._expire)
            self._timer.daemon = True
            self._timer.start()
        except BaseException:
            self._dispose()
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Give the license back now, or once the solve under way in another thread is done."""
        with self._lock:
            self._forget_timer()
            self._dispose()

    def _expire(self) -> None:
        with self._lock:
            if self._timer is threading.current_thread():  # else it was used in the meantime
                self._dispose()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _dispose(self) -> None:
        if self._environment is not None:
            self._environment.dispose()
            self._environment = None


ENVIRONMENT = SharedEnvironment()
"""This process's environment."""


def inspect() -> tuple[bool, date | None]:
    """Return whether the license covers all sizes, and its last day if it has one.

    Raises:
        SolverError: there is no license to be had now.
    """
    was_held = ENVIRONMENT.held
    with ENVIRONMENT.use(0.0) as environment:
        with gp.Model(env=environment) as model:
            day = int(model.LicenseExpiration)
        covered = covers_all_sizes(environment)
    if not was_held:
        ENVIRONMENT.close()
    expires = date(day // 10000, day // 100 % 100, day % 100) if day != _NO_EXPIRY else None
    return covered, expires


def covers_all_sizes(environment: gp.Env) -> bool:
    """Return whether models beyond `FREE_SIZE` are covered, found out with such a model."""
    with gp.Model(env=environment) as model:
        model.addVars(FREE_SIZE + 1)
        try:
            model.optimize()
        except gp.GurobiError as error:
            if error.errno == GRB.Error.SIZE_LIMIT_EXCEEDED:
                return False
            raise
    return True


def _start(deadline: float) -> gp.Env:
    """Return a started environment, retrying as long as that may help and there is time."""
    for wait in (*_WAITS, math.inf):
        try:
            return gp.Env(params={"OutputFlag": 0})
        except gp.GurobiError as error:
            late = time.perf_counter() + wait > deadline
            if late or not is_transient(error.errno, str(error)):
                raise SolverError(explain(error.errno, str(error))) from error
        time.sleep(wait)
    raise AssertionError("the last wait is longer than any deadline")
