"""One writer a store: a lock where there are locks, and a mark that a later writer replaces.

A lock is the operating system's (flock) and ends with its holder. NFS passes it on to its server
if the mount allows it (not with `nolock` or `local_lock`); behind a URL there is none. The mark,
`.<store>.writer` beside the store, works everywhere, but later: a second writer takes over, and the
first one stops at its next shard. What it still had on its way may arrive afterwards. It is the
same shard if both embed the same images on like machines; whatever else it is, it is not what the
second one recorded, who therefore reads everything back before the store counts as complete.
"""

import fcntl
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qpmstudy.errors import StoreError
from storage.places import Place, read_note, remove_file, write_note


@dataclass(frozen=True)
class Writer:
    """The process that writes a store; `locked`: no other can."""

    place: Place
    text: str
    locked: bool

    def check(self) -> None:
        """Raise unless this is still the writer of the store.

        Raises:
            StoreError: another process has taken over.
        """
        found = read_note(_mark(self.place))
        if found != self.text:
            other = (found or "it removed the mark").strip()
            raise StoreError(
                f"Another process has begun to write the embeddings at {self.place} ({other}): "
                "this one stops. What it finished is kept."
            )


@contextmanager
def only_writer(where: Place) -> Iterator[Writer]:
    """Be the writer of the store at a place for the length of the block.

    Raises:
        StoreError: another process holds the lock, or the URL cannot be reached.
    """
    text = f"process {os.getpid()} on {platform.node()}, {uuid.uuid4().hex}"
    with _locked(where) as locked:
        write_note(_mark(where), text)
        writer = Writer(where, text, locked)
        yield writer
        if read_note(_mark(where)) == text:
            remove_file(_mark(where))


def _mark(where: Place) -> Place:
    return where.parent / f".{where.name}.writer"


@contextmanager
def _locked(where: Place) -> Iterator[bool]:
    """Hold the lock of a local store; yields whether there is one."""
    if not isinstance(where, Path):
        yield False
        return
    where.parent.mkdir(parents=True, exist_ok=True)
    with (where.parent / f".{where.name}.lock").open("a") as file:
        yield _lock(file, where)


def _lock(file: IO[str], where: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreError(
            f"Another process is writing the embeddings at {where}: wait for it, or stop it."
        ) from error
    except OSError:  # a file system without locks, as NFS without its lock service
        return False
    return True
