"""Writing files so that each is whole or absent, and hashing them."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qpmstudy.errors import DataError

# Asked once: the only way to ask is to change it, which other threads would see.
UMASK = os.umask(0)
os.umask(UMASK)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it into place."""
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
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        temporary.chmod(0o777 & ~UMASK)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
