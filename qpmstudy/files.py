"""Writing files so that each is whole or absent, and hashing them."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qpmstudy.errors import DataError, UnwritableError

# Asked once: the only way to ask is to change it, which other threads would see.
UMASK = os.umask(0)
os.umask(UMASK)


_FULL = "Free space there"
_CLOSED = "Make it writable, or choose another folder"
_NO_FOLDER = "A file stands where a folder is needed: choose another folder"
REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EROFS: _CLOSED,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EIO: "Look after the disk or the network it is reached by",
    errno.ESTALE: "Mount the shared file system again",
}
"""What to do where a file system refuses to write, by the error's number."""


def refusal(error: OSError, path: Path | None = None) -> UnwritableError | None:
    """Return what to tell of a file system that refuses to write `path`, or None for other errors.

    `path` is the error's own file unless given.
    """
    where = path or error.filename
    if where is None or error.errno is None or error.errno not in REMEDIES:
        return None
    told = UnwritableError(
        f"{where} cannot be written: {os.strerror(error.errno)}. {REMEDIES[error.errno]}, then run "
        "the same command again: nothing is half-written, what is finished stays."
    )
    told.errno = error.errno  # a block around this one may name what was really wanted
    return told


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        told = refusal(error, path)
        raise error if told is None else told from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it into place.

    Raises:
        UnwritableError: the file system is full, read-only or not ours; what was there stays.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o666 & ~UMASK)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a person can read; NaN and infinity are refused."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); it is damaged.") from error


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """Give a temporary sibling to fill, and rename it to `target` if the block succeeds.

    If another writer has put `target` there meanwhile, theirs stays and ours is dropped:
    callers name directories by their content or refuse an existing one beforehand.

    Raises:
        UnwritableError: the file system is full, read-only or not ours; nothing is left there.
    """
    with _told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with _told(target):
            yield temporary
            temporary.chmod(0o777 & ~UMASK)
            try:
                temporary.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_directory(path: Path) -> None:
    """Remove a directory so that at any moment it is whole or absent.

    It is renamed first; a kill in between leaves what a killed writer leaves, a hidden sibling.

    Raises:
        UnwritableError: the file system refuses.
    """
    with _told(path):
        aside = path
        if not path.name.startswith("."):
            aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
            try:
                path.rename(aside)  # onto an empty directory
            except OSError:
                aside.rmdir()
                raise
        shutil.rmtree(aside)


def home_folder() -> Path | None:
    """Return this user's home folder; None in a container that knows of no such user."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hashes(directory: Path, hashes: dict[str, str]) -> None:
    """Compare the files of a directory with their recorded hashes.

    Raises:
        DataError: a file is missing or has other bytes than recorded.
    """
    for name, expected in hashes.items():
        path = directory / name
        if not path.is_file():
            raise DataError(f"{path} is missing.")
        found = sha256(path)
        if found != expected:
            raise DataError(
                f"{path} is damaged: its SHA-256 is {found[:12]}..., "
                f"but {expected[:12]}... was recorded when it was written."
            )
