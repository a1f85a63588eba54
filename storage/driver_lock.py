"""One driver a study: a lock that the operating system drops when its holder dies."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qpmstudy.errors import ConfigError


@contextmanager
def driver_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a study for the length of the block.

    Raises:
        ConfigError: another driver holds it; the message says where that one runs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConfigError(
                f"The study {path.parent.name!r} is being run by another driver "
                f"({file.read().strip()}). Watch it with `study status {path.parent.name}`, or "
                "stop that driver first."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        try:
            yield
        finally:
            if not any(other != path for other in path.parent.iterdir()):
                path.unlink()  # refused before anything was made: leave no trace
                path.parent.rmdir()


def is_running(path: Path) -> bool:
    """Return whether a driver holds the lock of a study."""
    if not path.exists():
        return False
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
