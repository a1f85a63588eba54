"""A node of this machine: how Ray is called, what is refused, what is stopped."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from cluster.local_cluster import (
    Node,
    NodeOptions,
    down,
    start_command,
    start_environment,
    this_node,
)
from command import here, refused
from qpmstudy.files import write_json


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "auth_token"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path / "qpmstudy" / "node.json"


def remember(state: Path, pid: int, started: float) -> None:
    write_json(state, asdict(Node(pid, started, "127.0.0.1:6379", head=True)))


def test_a_head_listens_on_loopback_unless_asked() -> None:
    closed = start_environment(NodeOptions())
    assert closed["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert not any("--node-ip-address" in word for word in start_command(NodeOptions()))
    asked = NodeOptions(cpus=3, gurobi=2, port=7000, listen="10.0.0.1")
    assert start_environment(asked)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "1"
    command = start_command(asked)
    for word in ("--head", "--port=7000", "--node-ip-address=10.0.0.1", "--num-cpus=3"):
        assert word in command
    assert '--resources={"gurobi": 2}' in command


def test_a_node_joins() -> None:
    command = start_command(NodeOptions(join="10.0.0.1:6379", gpus=0))
    assert "--address=10.0.0.1:6379" in command
    assert "--num-gpus=0" in command
    assert "--head" not in command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "0.0.0.0"], ["--listen 0.0.0.0", "by which other machines reach"]),
        (["--listen", "127.0.0.1"], ["--listen 127.0.0.1", "loopback"]),
        (["--listen", "203.0.113.1"], ["--listen 203.0.113.1", "assign"]),
        (["--join", "127.0.0.1:6379"], ["listens on loopback cannot be joined"]),
        (["--join", "head"], ["HOST:PORT"]),
        (["--join", "nowhere.invalid:6379"], ["No head can be reached at nowhere.invalid:6379"]),
    ],
)
def test_addresses_that_lead_nowhere_are_refused(
    state: Path, arguments: list[str], words: list[str]
) -> None:
    refused(here("cluster", "up", "--gurobi", 0, *arguments), 2, *words)
    assert not state.exists()


def test_nothing_runs_at_first() -> None:
    assert this_node() is None
    assert "Nothing that `cluster up` started" in here("cluster", "down").out
    refused(here("cluster", "status"), 2, "No cluster is up here", "cluster up")


def test_a_number_that_now_means_another_process_is_no_node(state: Path) -> None:
    remember(state, os.getpid(), psutil.Process().create_time() - 100)
    assert this_node() is None
    assert down() is None


def test_down_stops_the_whole_family(state: Path) -> None:
    """A parent that ends at once, and a child that would rather not."""
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent])
    one = psutil.Process(process.pid)
    while not (children := one.children()):
        pass
    remember(state, process.pid, one.create_time())
    stopped = down()
    assert stopped is not None
    assert stopped.pid == process.pid
    assert not any(member.is_running() for member in children)
    assert not state.exists()


def test_one_node_a_machine(state: Path) -> None:
    me = psutil.Process()
    remember(state, me.pid, me.create_time())
    refused(here("cluster", "up"), 2, f"process {me.pid}", "cluster down")
