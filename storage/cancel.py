"""A wish that a running driver should stop, left where it will look: in the study's folder.

The driver may run on another host that shares the storage, so no signal reaches it. It asks
`cancel_requested` every now and then, and clears the wish, which was meant for no later one,
when it starts and holds the study's lock.
"""

import platform
import time

from qpmstudy.files import write_json
from storage.driver_lock import is_running
from storage.layout import StudyFolder

POLL_SECONDS = 1.0
"""How often whoever waits for a driver looks."""


def request_cancel(folder: StudyFolder) -> bool:
    """Ask the driver of a study to stop; returns False, and asks nobody, where none runs."""
    if not is_running(folder.lock):
        return False
    write_json(folder.cancel, {"host": platform.node(), "requested": time.time()})
    return True


def cancel_requested(folder: StudyFolder) -> bool:
    """Return whether the driver should stop; whatever the file holds, it being there says so."""
    return folder.cancel.exists()


def clear_cancel(folder: StudyFolder) -> None:
    """Forget a wish, if there is one. Only for a driver that holds the study's lock."""
    folder.cancel.unlink(missing_ok=True)


def wait_until_stopped(folder: StudyFolder, seconds: float) -> bool:
    """Return whether no driver runs, as soon as that is so, or after `seconds`."""
    deadline = time.monotonic() + seconds
    while is_running(folder.lock):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(POLL_SECONDS, left))
    return True
