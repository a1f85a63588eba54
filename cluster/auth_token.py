"""The token that every process of a cluster shows to every other.

Whoever has it can run code on every node. It lies in a file that its owner alone may read, and is
never printed. Ray looks for it in this order: RAY_AUTH_TOKEN, the file at RAY_AUTH_TOKEN_PATH,
~/.ray/auth_token.
"""

import os
import secrets
import time
from pathlib import Path

from qpmstudy.errors import ConfigError
from qpmstudy.files import home_folder

VALUE = "RAY_AUTH_TOKEN"
PATH = "RAY_AUTH_TOKEN_PATH"
WRITING_SECONDS = 2.0
"""For another process that has just made the file to fill it."""


def token_file() -> Path:
    """Return the path of the token file, there or not.

    Raises:
        ConfigError: nothing says where it is.
    """
    named, home = os.environ.get(PATH), home_folder()
    if named:
        return Path(named)
    if home is None:
        raise ConfigError(
            f"This user has no home folder to keep the cluster's token in: set {PATH} to a file."
        )
    return home / ".ray" / "auth_token"


def refusal(address: str) -> str:
    """Return what to tell somebody whose token the cluster at `address` does not know."""
    source = f"the environment variable {VALUE}" if os.environ.get(VALUE) else token_file()
    return (
        f"The cluster at {address} refuses the token in {source}: it has another. Copy the token "
        f"file of the machine where the cluster was started, or set {PATH} to such a copy."
    )


def ensure_token() -> None:
    """Make sure that there is a token, and that nobody else can read its file.

    Raises:
        ConfigError: the file cannot be written, or is empty.
    """
    if os.environ.get(VALUE):
        return
    path = token_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            deadline = time.monotonic() + WRITING_SECONDS
            while path.exists() and not path.stat().st_size and time.monotonic() < deadline:
                time.sleep(0.02)
            require_token()
            return
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    except OSError as error:
        raise ConfigError(
            f"The token file {path} cannot be written: {error}. Name another with {PATH}."
        ) from error


def require_token() -> None:
    """Make sure that there is a token, as `ensure_token`, but never make one.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    if os.environ.get(VALUE):
        return
    path = token_file()
    try:
        content = path.read_text(encoding="ascii").strip()
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)  # Ray itself leaves it readable to others
    except FileNotFoundError:
        raise ConfigError(
            f"There is no token in {path}: nodes of a cluster must have the same. Copy it from "
            f"the machine where the cluster was started, with its permissions: scp -p HEAD:{path} "
            f"{path}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The token file {path} cannot be used: {error}.") from error
    if not content:
        raise ConfigError(f"The token file {path} is empty: remove it, or copy the token anew.")
