"""What Gurobi license this machine has, and what to make of it when it fails.

Where gurobipy 13 looks for gurobi.lic (seen with strace), the first file found counts: the file
named by GRB_LICENSE_FILE; /opt/gurobi1303, /opt/gurobi130, /opt/gurobi (/Library/... on macOS,
C:\\... on Windows); the home directory; its own folder, where the size-limited license lies that
comes with the package. GUROBI_HOME is not looked at.

How real failures look: every one of the license itself has error code 10009 (NO_LICENSE), an
unreachable token server too (after 0.5 s); the web license service unreachable is 10022 (NETWORK),
Gurobi's cloud 10028 (CLOUD), a full compute server 10023 (JOB_REJECTED), more web sessions than
licensed 10030; keys of the web license service that are incomplete are 10003 (INVALID_ARGUMENT).
"""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from importlib import metadata
from pathlib import Path

from qpmstudy.errors import ConfigError, NotInstalledError, SolverError
from qpmstudy.files import home_folder
from qpmstudy.registry import Registry

TOKENS = "QPMSTUDY_GUROBI_TOKENS"
"""Environment variable: how many processes may hold a Gurobi license at once."""

_TRANSIENT = (10022, 10023, 10028, 10030)
"""NETWORK, JOB_REJECTED, CLOUD, CSWORKER (also: more web sessions than licensed)."""
_NO_LICENSE = 10009
_BUSY = re.compile(
    r"(connect to|data from|response from) token server|use limit|currently in use|another gurobi",
    re.IGNORECASE,
)
"""Of all that NO_LICENSE says, what may be different a little later."""


class LicenseKind(Enum):
    """Who counts how often a license is used at once."""

    SIZE_LIMITED = "size-limited"
    """Comes with gurobipy: nobody counts, models up to 2000 variables and 2000 rows."""
    NODE_LOCKED = "named-user/node-locked"
    """Bound to this machine: nobody counts."""
    FLOATING = "floating (token server)"
    WLS = "WLS"
    """Gurobi's web license service counts."""
    REMOTE = "compute server or cloud"
    """Models are solved on another machine, which counts."""
    NONE = "none"


@dataclass(frozen=True)
class License:
    """What gurobipy finds on this machine. Keys and passwords are never in here."""

    kind: LicenseKind
    covers_all_sizes: bool
    """Whether models beyond 2000 variables and rows may be solved."""
    expires: date | None
    """Last day, where the license says so."""
    tokens: int
    """How many solves may sensibly run at once: 0 for none, the cores for those that nobody
    counts, 1 for those that somebody does; the environment variable `TOKENS` if set."""
    reason: str | None
    """Why it cannot be used now; None when it can."""


_TELLING = {
    "TOKENSERVER": LicenseKind.FLOATING,
    "WLSACCESSID": LicenseKind.WLS,
    "CSMANAGER": LicenseKind.REMOTE,
    "COMPUTESERVER": LicenseKind.REMOTE,
    "CLOUDACCESSID": LicenseKind.REMOTE,
    "TYPE": None,
    "EXPIRATION": None,
}
"""Lines of a license file that are read, and the kind that one of them stands for."""

_INSPECT: Registry[Callable[[], tuple[bool, date | None]]] = Registry(
    "license", {"gurobi": "qpmstudy.selection.gurobi_environment:inspect"}
)


def probe() -> License:
    """Return what license there is, found out by using it: a counted token is taken briefly.

    Raises:
        ConfigError: the environment variable QPMSTUDY_GUROBI_TOKENS is no count.
    """
    try:
        inspect = _INSPECT.get("gurobi")
    except NotInstalledError as error:
        return License(LicenseKind.NONE, False, None, 0, str(error))
    path = license_file()
    facts = _facts(path)
    kind = LicenseKind.SIZE_LIMITED if path is None else _kind(facts)
    try:
        covers_all_sizes, expires = inspect()
    except SolverError as error:
        return License(kind, False, _day(facts.get("EXPIRATION", "")), 0, str(error))
    if not covers_all_sizes:
        kind = LicenseKind.SIZE_LIMITED
    elif kind is LicenseKind.SIZE_LIMITED:
        kind = LicenseKind.NODE_LOCKED  # its file lies where `license_file` does not look
    return License(kind, covers_all_sizes, expires, _tokens(kind), None)


def license_file() -> Path | None:
    """Return the license file that gurobipy uses, None for the one inside its own package."""
    named = os.environ.get("GRB_LICENSE_FILE")
    if named:
        return Path(named)
    root = {"darwin": "/Library/", "win32": "C:\\"}.get(sys.platform, "/opt/")
    digits = metadata.version("gurobipy").split(".")
    folders = [Path(f"{root}gurobi{''.join(digits[:n])}") for n in (3, 2, 0)]
    home = home_folder()
    files = (folder / "gurobi.lic" for folder in [*folders, *([home] if home else [])])
    return next((file for file in files if file.exists()), None)


def is_transient(code: int, text: str) -> bool:
    """Return whether a failure to get a license may pass: server or tokens busy, or no network."""
    return code in _TRANSIENT or (code == _NO_LICENSE and bool(_BUSY.search(text)))


def explain(code: int, text: str) -> str:
    """Return what a failure to get a license means and what to do about it."""
    if is_transient(code, text):
        remedy = "Try again when the license server can be reached and has a free token"
    else:
        remedy = f"Renew or repair the license file ({license_file() or 'none was found'})"
    return (
        f"There is no valid Gurobi license: {text.rstrip('.')} (error {code}). {remedy}, or use "
        f"solver 'auto' or 'lagrangian', which need none."
    )


def _facts(path: Path | None) -> dict[str, str]:
    """Return the lines KEY=value that tell the kind of license; keys and passwords are skipped."""
    try:
        text = path.read_text(errors="replace") if path else ""
    except OSError:
        return {}  # gurobipy cannot read it either, and says so
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs if key in _TELLING}


def _kind(facts: dict[str, str]) -> LicenseKind:
    for key, kind in _TELLING.items():
        if key in facts and kind is not None:
            return kind
    kinds = {"PIP": LicenseKind.SIZE_LIMITED, "TOKEN": LicenseKind.FLOATING}
    if "TYPE" in facts:
        return kinds.get(facts["TYPE"], LicenseKind.NODE_LOCKED)
    return LicenseKind.NONE


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None


def _tokens(kind: LicenseKind) -> int:
    given = os.environ.get(TOKENS)
    if given is not None:
        if not given.isdecimal():
            raise ConfigError(
                f"The environment variable {TOKENS} is {given!r}: give the number of processes "
                f"that may hold a Gurobi license at once, 0 for none."
            )
        return int(given)
    counted = kind not in (LicenseKind.SIZE_LIMITED, LicenseKind.NODE_LOCKED)
    return 1 if counted else os.cpu_count() or 1
