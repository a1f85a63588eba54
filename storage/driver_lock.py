"""Who may write: one driver a study, and none while rubbish is removed.

Both are locks that the operating system drops when their holder dies.
"""

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from qpmstudy.errors import ConfigError

ROOT_LOCK = ".drivers.lock"
"""File in the storage root that drivers hold together, and who removes alone."""

PATIENCE = (0.05, 0.1, 0.2)
"""Seconds between tries: whoever only asks whether a driver runs holds the lock for a moment."""


@contextmanager
def driver_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a study for the length of the block; nothing is removed meanwhile.

    Raises:
        ConfigError: another driver holds it, and the message says where that one runs; or
            artifacts are being removed.
    """
    root = path.parents[1]
    with _opened(root / ROOT_LOCK) as shared:
        if not _locked(shared, fcntl.LOCK_SH):
            raise ConfigError(
                f"Artifacts in {root} are being removed (study gc): launch again when that is done."
            )
        with _alone(path) as file:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
            try:
                yield
            finally:
                if not any(other != path for other in path.parent.iterdir()):
                    path.unlink()  # refused before anything was made: leave no trace
                    with suppress(OSError):  # from here on the next driver may be at work
                        path.parent.rmdir()


@contextmanager
def removal_lock(root: Path) -> Iterator[None]:
    """Keep every driver of a storage root from starting for the length of the block.

    Raises:
        ConfigError: a driver runs.
    """
    with _opened(root / ROOT_LOCK) as file:
        if not _locked(file, fcntl.LOCK_EX):
            raise ConfigError(
                f"A study is running in {root}, and what it will need cannot be told. Wait for "
                "it, or stop it: python cli.py study list, then study cancel NAME."
            )
        yield


def is_running(path: Path) -> bool:
    """Return whether a driver holds the lock of a study."""
    try:
        with path.open("r", encoding="utf-8") as file:
            return not _try(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


@contextmanager
def _alone(path: Path) -> Iterator[IO[str]]:
    """Open and lock the file of a study, made anew if its last holder removed it meanwhile."""
    while True:
        with _opened(path) as file:
            if not _locked(file, fcntl.LOCK_EX):
                file.seek(0)
                raise ConfigError(
                    f"The study {path.parent.name!r} is being run by another driver "
                    f"({file.read().strip()}). Watch it with `study status {path.parent.name}`, "
                    "or stop that driver first."
                )
            if _is_at(file, path):
                yield file
                return


def _is_at(file: IO[str], path: Path) -> bool:
    """Return whether a file is still the one at its path: otherwise its lock keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _opened(path: Path) -> IO[str]:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a+", encoding="utf-8")
        except FileNotFoundError:  # the folder was removed between the two lines above
            continue
        except FileExistsError:  # or within the first, which tries and then looks
            if os.path.lexists(path.parent) and not path.parent.is_dir():
                raise  # a file, or a link to what is not there


def _locked(file: IO[str], how: int) -> bool:
    for seconds in PATIENCE:
        if _try(file, how):
            return True
        time.sleep(seconds)
    return _try(file, how)


def _try(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
