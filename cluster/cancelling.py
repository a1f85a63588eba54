"""A driver that is asked to stop does what Ctrl-C does: nothing finished is lost."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from storage.cancel import POLL_SECONDS, cancel_requested, clear_cancel
from storage.layout import StudyFolder


@contextmanager
def stopped_when_asked(folder: StudyFolder) -> Iterator[None]:
    """Interrupt this process once `study cancel` was asked for, for the length of the block.

    The block holds the study's lock; a wish from before was meant for another driver.
    """
    clear_cancel(folder)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            if cancel_requested(folder):
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        clear_cancel(folder)
