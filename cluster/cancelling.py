"""A driver that is asked to stop does what Ctrl-C does: nothing finished is lost."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.ticking import every
from storage.cancel import POLL_SECONDS, cancel_requested, clear_cancel
from storage.layout import StudyFolder


@contextmanager
def stopped_when_asked(folder: StudyFolder) -> Iterator[None]:
    """Interrupt this process once `study cancel` was asked for, for the length of the block.

    The block holds the study's lock; a wish from before was meant for another driver.
    """
    clear_cancel(folder)

    def watch() -> bool:
        asked = cancel_requested(folder)
        if asked:
            os.kill(os.getpid(), signal.SIGINT)
        return not asked

    try:
        with every(POLL_SECONDS, watch):
            yield
    finally:
        clear_cancel(folder)
