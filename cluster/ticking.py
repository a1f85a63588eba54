"""Something that is done again and again beside a block of code."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, step: Callable[[], bool]) -> Iterator[None]:
    """Call `step` at that interval from a thread, until the block ends or it returns False."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(seconds) and step():
            pass

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
