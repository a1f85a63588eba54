"""What has to be known of a run to repeat it: the code, the machine, the command.

Asked once a process; nothing here changes what is computed, and no stage key covers it.
"""

import functools
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("qpmstudy", "storage", "cluster")
VERSIONS_OF = ("torch", "numpy", "schedulefree", "scipy", "scikit-learn", "qpmstudy")
GIT_SECONDS = 20

COLUMNS: dict[str, tuple[type, str]] = {
    "fingerprint": (str, "content hash of the embeddings: images, labels, splits, backbone"),
    "weights": (str, "SHA-256 of the backbone's weights"),
    "commit": (str, "git commit of the code, 40 hex digits; null where there is none to ask"),
    "dirty": (bool, "whether the code differed from that commit; null where nobody can say"),
    "source": (str, "SHA-256 over the Python files that ran, whether or not there is a commit"),
    "versions": (str, "JSON: Python and every library that the numbers depend on"),
    "host": (str, "node whose process led the run through its stages"),
    "command": (str, "command line that launched the study, without secrets"),
    "committed": (float, "seconds since 1970 by the host's clock; decides nothing"),
}
"""Columns of a row by name: type, meaning. Each stage's device stands in `device.<stage>`."""

_SECRET = re.compile(
    r"token|secret|passw|credential|api[-_]?key|access[-_]?key|auth|(^|[-_])key$", re.I
)
_HIDDEN = "***"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of every library that the numbers depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in VERSIONS_OF}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout that nobody installed
        return "not installed"


@functools.cache
def provenance() -> Mapping[str, str | bool | None]:
    """Return what this process knows for a row's columns: its code, versions and host."""
    commit, dirty = _git(PROJECT)
    return {
        "commit": commit or _installed_commit(),
        "dirty": dirty,
        "source": source_hash(PROJECT),
        "versions": json.dumps(versions()),
        "host": platform.node(),
    }


@functools.cache
def device_name() -> str:
    """Return what this process computes on: its GPU, or the processor and its threads."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def command_line(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Return the command that started this process, ready for a shell, without secrets.

    Hidden are: user, password and query of a URL; the value of an option or assignment whose
    name speaks of a token, password or key; and whatever an environment variable of such a name
    holds, wherever it stands. Folders on the way to the script are left out.
    """
    script, *rest = sys.argv if arguments is None else arguments
    environ = os.environ if environment is None else environment
    known = {value for name, value in environ.items() if _SECRET.search(name) and len(value) >= 6}
    shown = []
    hide_next = False
    for word in rest:
        name, equals, _ = word.partition("=")
        named = bool(_SECRET.search(name))
        if hide_next and not word.startswith("-"):
            shown.append(_HIDDEN)
        elif equals and named:
            shown.append(f"{name}={_HIDDEN}")
        else:
            shown.append(without_secrets(word, known))
        hide_next = word.startswith("-") and named and not equals
    line = shlex.join(["python", Path(script).name, *shown])
    return line.encode(errors="backslashreplace").decode()  # names of files may be no text


def without_secrets(word: str, known: Collection[str] = ()) -> str:
    """Return a word without those secrets, and without user, password and query of a URL."""
    for secret in sorted(known, key=len, reverse=True):
        word = word.replace(secret, _HIDDEN)
    # a password may hold what should have been quoted in it: "/" or "@"
    word = re.sub(r"(\w+://)(?:[^/\s:]*:\S*|[^/\s]+)@", rf"\1{_HIDDEN}@", word)
    return re.sub(r"(\w+://[^?\s]*)\?\S+", rf"\1?{_HIDDEN}", word)


def made_with(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row knows of how to repeat it, by column; rows of old may lack some."""
    devices = {name: value for name, value in row.items() if name.startswith("device.") and value}
    return {name: row.get(name) for name in COLUMNS} | devices


def code_in_words(known: Mapping[str, Any]) -> str:
    """Return which code made a row: commit and whether it was changed, or the files' hash."""
    if not known.get("commit"):
        source = known.get("source")
        return f"source {source[:12]}" if source else "unknown"
    dirty = known.get("dirty")
    state = {True: f", changed (source {str(known.get('source'))[:12]})", None: ", as installed"}
    return f"commit {known['commit'][:12]}" + state.get(dirty, "")


def source_hash(project: Path) -> str:
    """Return the SHA-256 over names and bytes of the packages' Python files."""
    total = sha256()
    for package in PACKAGES:
        for path in sorted((project / package).rglob("*.py")):
            total.update(f"{path.relative_to(project).as_posix()}\0".encode())
            total.update(sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _git(project: Path) -> tuple[str | None, bool | None]:
    """Return commit and dirty flag of the checkout that tracks the code, if one does.

    A package installed below somebody's checkout, in its virtual environment say, is no part
    of it: that commit would be of other code.
    """
    if _asked(project, "ls-files", "--error-unmatch", "qpmstudy/__init__.py") is None:
        return None, None
    commit = _asked(project, "rev-parse", "HEAD")
    changes = _asked(project, "status", "--porcelain", "--", *PACKAGES)
    return commit, None if changes is None else bool(changes)


def _asked(project: Path, *words: str) -> str | None:
    # within a hook of git these name the repository of the hook, which may be another
    environment = {n: value for n, value in os.environ.items() if not n.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(project), *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _installed_commit() -> str | None:
    """Return the commit that pip installed the package from, where it was a git URL."""
    try:
        text = distribution("qpmstudy").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    commit = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    return str(commit) if commit else None
