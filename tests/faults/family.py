"""All that this process started, its orphans included, and nobody else's."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

PR_SET_CHILD_SUBREAPER = 36
# Ray's own idle helpers look for their parent at long intervals before they end.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


@contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of every orphan below this process, for the length of the block."""
    libc = ctypes.CDLL(None, use_errno=True)

    def adopt(on: int) -> None:
        if libc.prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")

    adopt(1)
    try:
        yield
    finally:
        adopt(0)


def command(process: psutil.Process) -> str:
    """Return the command line of a process, "" if it is gone or over."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return ""


def family(within: int | None = None) -> list[psutil.Process]:
    """Return what runs below this process, or below the process `within`."""
    try:
        found = psutil.Process(within).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in found if command(process)]


def working(process: psutil.Process) -> bool:
    """Return whether a process is a worker or daemon of Ray that should end with its cluster."""
    line = command(process)
    worker = line.startswith("ray::") and not line.startswith(AGENTS)
    return worker or "raylet/raylet" in line or "gcs_server" in line


def bury(known: set[int]) -> None:
    """Reap the orphans that ended; `known` are children whose end somebody else waits for."""
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.pid not in known and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def becomes(condition: Callable[[], object], seconds: float) -> bool:
    """Return whether a condition holds within so many seconds, as soon as it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
