"""Nodes of a cluster: one has other packages, is silent, vanishes, or is yet to be started."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.auth_token import ensure_token
from cluster.room import cluster_with_room
from cluster.session import elsewhere
from cluster.versions import check_nodes
from faults.three_raylets import IMPATIENT
from qpmstudy.errors import ConfigError
from storage.memory import LIMIT
from storage.study import load_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OTHER = "0.0.1"
SLOW_WORKER = """\
import sys, time
if "default_worker.py" in " ".join(sys.orig_argv):
    time.sleep(8)
"""
DYING_WORKER = """\
import os, subprocess, sys

def die(event, what):
    if event == "open" and ".probe-" in str(what[0]):
        for command in {commands}:
            subprocess.run(["sh", "-c", command.format(parent=os.getppid())], check=True)
        os.kill(os.getpid(), 9)

if "default_worker.py" in " ".join(sys.orig_argv):
    sys.addaudithook(die)
"""
"""Dies as soon as the check looks at the storage root."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    ensure_token()
    both = Cluster(initialize_head=True, head_node_args={"include_dashboard": False})
    try:
        yield both
    finally:
        ray.shutdown()
        both.shutdown()


def test_a_node_with_another_version_is_named_and_alone_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    packages, root = tmp_path / "packages", tmp_path / "runs"
    root.mkdir()
    info = packages / f"scipy-{OTHER}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: scipy\nVersion: {OTHER}\n")
    first = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, (str(packages), first)))
    node = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path})
    ray.init(address=cluster.address, log_to_driver=False)
    assert len([one for one in ray.nodes() if one["Alive"]]) == 2
    with pytest.raises(ConfigError, match="Not every node of the cluster computes as") as refused:
        check_nodes(root)
    problems = [line for line in str(refused.value).splitlines() if line.startswith("  - ")]
    assert len(problems) == 1  # the other node is like the driver
    assert f": scipy {OTHER}, but the driver has " in problems[0]
    assert "Install the same versions on every node" in str(refused.value)
    cluster.remove_node(node)
    check_nodes(root)
    assert list(root.iterdir()) == []


def test_memory_of_nodes_is_unknown_until_one_that_runs_tasks_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(LIMIT, raising=False)
    ensure_token()
    head = {"include_dashboard": False, "num_cpus": 0}  # as cluster/deploy/kuberay-rayjob.yaml
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        spec = load_study(Path("studies/fig11.yaml"))
        with cluster_with_room(spec, [], verbose=False, tokens=0) as reading:
            assert reading.allowed is None
        cluster.add_node(num_cpus=1, object_store_memory=2**27)
        with cluster_with_room(spec, [], verbose=False, tokens=0) as reading:
            assert reading.allowed == 2**27
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_node_that_is_silent_or_vanishes_while_it_is_asked_is_named(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW_WORKER)
    root = tmp_path / "runs"
    root.mkdir()
    path = os.pathsep.join(filter(None, (str(tmp_path / "slow"), os.environ.get("PYTHONPATH", ""))))
    node = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path})
    ray.init(address=cluster.address, log_to_driver=False)
    monkeypatch.setattr("cluster.versions.WAIT_SECONDS", 3)  # its workers take longer to be there
    with pytest.raises(ConfigError, match=r"gave no answer in 3 s\n.* take it out") as told:
        check_nodes(root)
    assert str(told.value).count("  - ") == 1
    monkeypatch.setattr("cluster.versions.WAIT_SECONDS", 60)
    raylet = node.all_processes["raylet"][0].process.pid
    vanishing = threading.Timer(1, os.kill, (raylet, signal.SIGKILL))
    vanishing.start()
    (line,) = check_nodes(root)
    assert line.endswith(" went away before it said what it computes with")
    assert list(root.iterdir()) == []


@pytest.fixture
def mortal(cluster: Cluster, tmp_path: Path, commands: tuple[str, ...]) -> Cluster:
    """The cluster with another node, whose worker starts `commands` and dies while it is asked."""
    (tmp_path / "dying").mkdir()
    program = DYING_WORKER.replace("{commands}", repr(commands))
    (tmp_path / "dying" / "sitecustomize.py").write_text(program)
    path = os.pathsep.join(
        filter(None, (str(tmp_path / "dying"), os.environ.get("PYTHONPATH", "")))
    )
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path})
    ray.init(address=cluster.address, log_to_driver=False)
    (tmp_path / "runs").mkdir()
    return cluster


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("commands", [("kill -9 {parent}",)])
def test_a_node_that_dies_with_the_process_that_was_asked_went_away(tmp_path: Path) -> None:
    (line,) = check_nodes(tmp_path / "runs")
    assert line.endswith(" went away before it said what it computes with")


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("commands", [()])
def test_a_process_that_dies_on_a_node_that_lives_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"process that was asked died, twice \(.*\)") as told:
        check_nodes(tmp_path / "runs")
    assert str(told.value).count("  - ") == 1
    assert "cannot run" not in str(told.value)
    assert "stands in its node's logs" in str(told.value)


def test_what_hung_on_one_node_is_tried_on_another_if_there_is_one(cluster: Cluster) -> None:
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)

    @ray.remote(num_cpus=1)
    def here() -> str:
        return str(ray.get_runtime_context().get_node_id())

    def run_without(node: str) -> str:
        found: str = ray.get(here.options(**elsewhere(node)).remote(), timeout=60)
        return found

    one, other = (node["NodeID"] for node in ray.nodes())
    assert [run_without(one), run_without(other)] == [other, one]
    cluster.remove_node(second)
    (left,) = (node["NodeID"] for node in ray.nodes() if node["Alive"])
    assert run_without(left) == left
