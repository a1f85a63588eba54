"""Memory is asked for before it is used: what stores need, and what this machine has."""

import os
import re
from pathlib import Path

from qpmstudy.errors import ConfigError
from storage.embeddings import EmbeddingStore
from storage.groups import array_of
from storage.sizes import UNITS

LIMIT = "QPMSTUDY_MEMORY"
"""Environment variable: how much memory embeddings may take on a node."""

RESERVE = 2 * 2**30
"""For the processes of a study besides the embeddings they share, at least."""


def available_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes this process can still get; None where the system does not say.

    The least of what the machine has free (caches it can drop included) and what the control
    groups of a container leave. `root` is where /proc and /sys lie.
    """
    found = [_machine(root)]
    groups = root / "sys/fs/cgroup"
    for limit, used, inactive in (
        (groups / "memory.max", groups / "memory.current", groups / "memory.stat"),
        (
            groups / "memory/memory.limit_in_bytes",
            groups / "memory/memory.usage_in_bytes",
            groups / "memory/memory.stat",
        ),
    ):
        bound, taken = _number(limit), _number(used)
        if bound is not None and taken is not None:
            found.append(max(0, bound - taken + _table(inactive, "inactive_file")))
    known = [value for value in found if value is not None]
    return min(known) if known else None


def needed(store: EmbeddingStore) -> int:
    """Return how many bytes a store takes in memory."""
    names = ("patches", "cls", "masks") if store.attributes["has_masks"] else ("patches", "cls")
    return sum(array_of(store.group, name).nbytes for name in names)


def allowed_memory(room: int | None) -> int | None:
    """Return how many bytes embeddings may take on a node; None where nobody knows.

    It is what the environment variable QPMSTUDY_MEMORY says, else all the `room` there is.

    Raises:
        ConfigError: the variable is no amount of memory.
    """
    text = os.environ.get(LIMIT)
    if text is None:
        return room
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]iB|B)", text.strip())
    if not match:
        raise ConfigError(
            f"{LIMIT} = {text!r} is no amount of memory: write a number and one of "
            f"{', '.join(UNITS)}, such as 20GiB or 512MiB."
        )
    return int(float(match[1]) * 1024 ** UNITS.index(match[2]))


def _machine(root: Path) -> int | None:
    kibibytes = _table(root / "proc/meminfo", "MemAvailable:")
    if kibibytes:
        return kibibytes * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _table(path: Path, name: str) -> int:
    """Return the number behind `name` in a file of names and numbers; 0 if it is not there."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    words = (line.split() for line in lines)
    return next((int(line[1]) for line in words if len(line) > 1 and line[0] == name), 0)


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is no such file, or it says "max"."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
