"""Worker processes for work on pictures."""

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from qpmstudy.errors import WorkerError

Task = TypeVar("Task")
Result = TypeVar("Result")


def cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def processes(workers: int, doing: str, remedy: str) -> Iterator[ProcessPoolExecutor]:
    """Provide worker processes for the length of the block; they end with this process.

    Args:
        workers: how many.
        doing: what they do, and `remedy`, what to do if one dies, for the message.

    Raises:
        WorkerError: one ended unexpectedly.
    """
    # spawn: a fork of a process whose libraries run threads, as torch does, can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise WorkerError(
            f"A process that {doing} ended unexpectedly: if memory is short, or the calling "
            f"script does its work without an `if __name__ == '__main__':` guard, {remedy}."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: Executor, work: Callable[[Task], Result], tasks: Iterable[Task], ahead: int
) -> Iterator[Result]:
    """Yield the results of `tasks` in their order; at most `ahead` are done before their turn."""
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(pool.submit(work, task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _end_with_parent() -> None:
    """Let this worker process end when its parent is killed; idle workers would stay for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, args=(parent.sentinel,), daemon=True).start()
