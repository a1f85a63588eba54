"""A file system of a test's own: to be filled, or made read-only."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small file system at a folder, made anew; skips where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here ({made.stderr.strip()}): not tested")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], timeout=20, check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a disk but for some bytes and return the file that does it."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:  # until there is no space left
        while file.write(b"x" * 4096):
            pass
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - leave))
    return filler
