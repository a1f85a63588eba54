"""A node of a Ray cluster on this machine: started, remembered and stopped.

One node a user and machine. `ray start --block` stays the parent of all that belongs to the node,
so that its process id, with the time it was started, says what may be stopped: another one's Ray
is never touched.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from cluster.addresses import (
    BEYOND,
    LOOPBACK,
    bind_error,
    connect_error,
    free_port,
    host_and_port,
    is_loopback,
)
from cluster.auth_token import ensure_token, refusal, require_token
from cluster.tokens import TOKEN
from qpmstudy.errors import ConfigError, QpmStudyError
from qpmstudy.files import home_folder, read_json, write_json

START_SECONDS = 90.0  # a loaded machine takes its time
STOP_SECONDS = 20.0
UP = "Ray runtime started."
CLOSED = {
    "RAY_enable_metrics_collection": "0",
    "AUTOSCALER_METRIC_PORT": "-1",
    "DASHBOARD_METRIC_PORT": "-1",
}
"""Ray's ports for metrics ask for no token: they stay closed."""


class ClusterError(QpmStudyError):
    """A node of a cluster did not start or stop."""


@dataclass(frozen=True)
class NodeOptions:
    """What a node offers and where it listens."""

    cpus: int | None = None  # None: what Ray finds
    gpus: int | None = None
    gurobi: int = 0  # tokens
    port: int = 6379  # of a head
    listen: str | None = None  # address of this machine; None: loopback, or Ray's choice to join
    join: str | None = None  # HOST:PORT of the head; None: be one


@dataclass(frozen=True)
class Node:
    """A node that runs on this machine."""

    pid: int
    started: float  # by the clock of the operating system, which tells a reused pid apart
    address: str  # of the head
    head: bool

    @property
    def process(self) -> psutil.Process | None:
        """Return the process that is the parent of all others, None if it is gone."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def home() -> Path:
    """Return the folder in which this user's node is remembered.

    Raises:
        ConfigError: nothing says where it is.
    """
    base, mine = os.environ.get("XDG_STATE_HOME"), home_folder()
    if base:
        return Path(base) / "qpmstudy"
    if mine is None:
        raise ConfigError(
            "This user has no home folder to remember a node in: set XDG_STATE_HOME to a folder."
        )
    return mine / ".local" / "state" / "qpmstudy"


def this_node() -> Node | None:
    """Return the node that `up` started on this machine, if it runs."""
    path = home() / "node.json"
    node = Node(**read_json(path)) if path.exists() else None
    return node if node and node.process else None


def up(options: NodeOptions) -> Node:
    """Start a head, or a node that joins one, and return once it runs.

    Raises:
        ConfigError: a node runs here already, the address or port cannot be had, or the token is
            missing or refused.
        ClusterError: Ray did not start.
    """
    running = this_node()
    if running:
        raise ConfigError(
            f"A node of the cluster at {running.address} runs on this machine already (process "
            f"{running.pid}). Stop it first: python cli.py cluster down"
        )
    _check(options)
    (require_token if options.join else ensure_token)()
    log = home() / "node.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        child = subprocess.Popen(
            start_command(options),
            env={**os.environ, **start_environment(options)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives this command and its terminal
        )
    address = options.join or f"{options.listen or LOOPBACK}:{options.port}"
    node = Node(child.pid, psutil.Process(child.pid).create_time(), address, not options.join)
    write_json(home() / "node.json", asdict(node))
    try:
        _wait(child, log, address)
    except BaseException:
        down()
        raise
    return node


def down() -> Node | None:
    """Stop what `up` started here, all of it, and return what it was; None if nothing runs.

    Raises:
        ClusterError: a process does not end.
    """
    node = this_node()
    if node is None or (parent := node.process) is None:
        return None
    family = [parent, *parent.children(recursive=True)]
    parent.terminate()
    psutil.wait_procs([parent], timeout=STOP_SECONDS)
    left = [process for process in family if process.is_running()]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, left = psutil.wait_procs(left, timeout=5)
    if left:
        raise ClusterError(f"Processes {[p.pid for p in left]} of the node do not end.")
    (home() / "node.json").unlink()
    return node


def start_command(options: NodeOptions) -> list[str]:
    """Return the call of Ray that starts such a node."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    command += ["--disable-usage-stats", "--log-style=record", "--log-color=false"]
    if options.join:
        command += [f"--address={options.join}"]
    else:
        command += ["--head", f"--port={options.port}", "--include-dashboard=false"]
        # Nothing here speaks Ray's client protocol, but it cannot be left out, and its usual port
        # may be another user's.
        command += [f"--ray-client-server-port={free_port()}"]
    if options.listen:
        command += [f"--node-ip-address={options.listen}"]
    if options.cpus is not None:
        command += [f"--num-cpus={options.cpus}"]
    if options.gpus is not None:
        command += [f"--num-gpus={options.gpus}"]
    if options.gurobi:
        command += [f"--resources={json.dumps({TOKEN: options.gurobi})}"]
    return command


def start_environment(options: NodeOptions) -> Mapping[str, str]:
    """Return what such a node needs in its environment besides what is there."""
    beyond = options.join is not None or options.listen is not None
    return {**CLOSED, BEYOND: "1" if beyond else "0"}


def _check(options: NodeOptions) -> None:
    if options.listen:
        error = bind_error(options.listen, 0)
        if is_loopback(options.listen) or options.listen in ("0.0.0.0", "::") or error:
            raise ConfigError(
                f"--listen {options.listen}: give the address by which other machines reach this "
                f"one ({socket.gethostname()}){f': {error.strerror}' if error else ''}. Leave it "
                "out to listen on loopback alone."
            )
    if options.join is None:
        error = bind_error("::" if options.listen else LOOPBACK, options.port)
        if error:
            raise ConfigError(
                f"The port {options.port} cannot be had: {error.strerror}. Choose another with "
                "--port."
            )
        return
    if host_and_port(options.join) is None or is_loopback(options.join):
        raise ConfigError(
            f"--join {options.join}: give the HOST:PORT that `cluster up --listen ADDRESS` printed "
            "on the head; one that listens on loopback cannot be joined."
        )
    why = connect_error(options.join)
    if why:
        raise ConfigError(
            f"No head can be reached at {options.join}: {why}. Start one there with `cluster up "
            "--listen ADDRESS`, and let its port through the firewall."
        )


def _wait(child: "subprocess.Popen[bytes]", log: Path, address: str) -> None:
    """Wait until a node runs."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        said = log.read_text(encoding="utf-8", errors="replace")
        if UP in said:
            return
        if child.poll() is not None:
            if "InvalidAuthToken" in said:
                raise ConfigError(refusal(address))
            last = [line for line in said.splitlines() if line.strip()][-1:]
            raise ClusterError(f"Ray did not start; it said: {''.join(last)} (all of it: {log})")
        time.sleep(0.1)
    raise ClusterError(f"Ray did not start within {START_SECONDS:.0f} s; what it said: {log}")
