"""TensorBoard on one study, for a browser on this machine."""

from pathlib import Path

from tensorboard import default, program
from tensorboard.data import server_ingester
from tensorboard.program import TensorBoardPortInUseError, TensorBoardServerException

from cluster.addresses import LOOPBACK
from qpmstudy.errors import ConfigError

HOST = LOOPBACK
"""It asks nobody for a password: it listens here alone."""


def start_tensorboard(folder: Path, port: int | None) -> str:
    """Start TensorBoard in threads of this process and return its address.

    Args:
        folder: the study's events; those still to be written are shown, too.
        port: to listen on; None: the first that is free from 6006 on, 0: any that is free.

    Raises:
        ConfigError: the port, or none of those tried, is to be had.
    """
    board = program.TensorBoard(plugins=default.get_plugins())
    words = ["tensorboard", "--logdir", str(folder), "--host", HOST, "--load_fast", _fast()]
    board.configure([*words, *([] if port is None else ["--port", str(port)])])
    try:
        url: str = board.launch()
    except TensorBoardPortInUseError as error:
        raise ConfigError(
            f"Port {port} of {HOST} is taken: give another one, or none (--port 0 takes any that "
            "is free)."
        ) from error
    except (TensorBoardServerException, OSError) as error:
        raise ConfigError(
            f"TensorBoard found no port to listen on at {HOST} ({error}): give one (--port 0 "
            "takes any that is free)."
        ) from error
    return url


def _fast() -> str:
    """Return whether the quick reader of events is there; "auto" would print a note about it."""
    try:
        server_ingester.get_server_binary()
    except server_ingester.NoDataServerError:
        return "false"
    return "true"
