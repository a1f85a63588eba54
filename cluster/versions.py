"""Whether every node of a cluster computes with the same code and libraries, on the same files.

A study whose nodes differ would be a mixture of two programs under one name. Nodes that join
later, as an autoscaler's do, are not asked: they come from the same image or folder.
"""

import platform
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.stage_errors import last_line
from qpmstudy.errors import ConfigError
from qpmstudy.files import write_bytes
from storage.provenance import PROJECT, source_hash, versions

WAIT_SECONDS = 120.0  # a first task imports torch, perhaps from a slow file system
PAUSE_SECONDS = 3.0  # after which a process that died with its node is seen to have
DEAD = (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError)
CRASHED = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
SAME_CODE = "Install the same versions on every node: pip install -c constraints.txt -e ."
SILENT = "gave no answer"
DIED = "that was asked died"
LOGGED = "What a process died of stands in its node's logs (/tmp/ray/session_latest/logs there)."
ANSWERING = "See whether a node that gives no answer still runs, and take it out of the cluster."
SAME_ROOT = "Put --root on a file system that every node mounts at the same path, writable."


@dataclass(frozen=True)
class NodeReport:
    """What one node computes with."""

    node: str
    versions: Mapping[str, str]
    code: str  # hash of our own source
    root: str  # "" where the storage root can be read and written, else why not


def report(root: Path, probe: str = "") -> NodeReport:
    """Return what this machine computes with, and whether it sees the file `probe` in `root`."""
    seen = _root_problem(root, probe) if probe else ""
    return NodeReport(platform.node(), versions(), source_hash(PROJECT), seen)


def node_problems(driver: NodeReport, nodes: Sequence[NodeReport]) -> list[str]:
    """Return one line for each thing in which a node differs from the driver."""
    problems = []
    for node in nodes:
        for name in sorted(driver.versions.keys() | node.versions.keys()):
            here, there = driver.versions.get(name), node.versions.get(name)
            if here != there:
                problems.append(f"{node.node}: {name} {there}, but the driver has {here}")
        if node.code != driver.code:
            problems.append(
                f"{node.node}: qpmstudy's source is {node.code[:12]}, but the driver's is "
                f"{driver.code[:12]}"
            )
        if node.root:
            problems.append(f"{node.node}: {node.root}")
    return problems


def check_nodes(root: Path) -> list[str]:
    """Ask every node of the cluster that this process has joined, and refuse one that differs.

    Args:
        root: the storage root; it must exist.

    Returns:
        A line for each node that went away before it could answer: no stage will run there.

    Raises:
        ConfigError: nodes that differ, and in what, or that are there but give no answer, with why
            as far as it is known.
    """
    root = root.resolve()
    probe = f".probe-{uuid.uuid4().hex}"
    write_bytes(root / probe, probe.encode())
    try:
        nodes, gone, problems = _ask(root, probe)
    finally:
        (root / probe).unlink(missing_ok=True)
    problems += node_problems(report(root), nodes)
    if problems:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        remedies = {_remedy(line) for line in problems}
        raise ConfigError(
            f"Not every node of the cluster computes as the driver does:\n{listing}\n"
            + " ".join(sorted(remedies))
        )
    return [f"{node} went away before it said what it computes with" for node in gone]


def _ask(root: Path, probe: str) -> tuple[list[NodeReport], list[str], list[str]]:
    """Run `report` on each node; returns the reports, who went away, and why others gave none."""
    names = {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"]
    }
    answers = _answers(names, root, probe)
    crashed = [node for node, answer in answers.items() if isinstance(answer, CRASHED)]
    if crashed:  # of a node that is about to die this may be all that is known yet
        time.sleep(PAUSE_SECONDS)
        answers |= _answers(crashed, root, probe)
    reports, gone, problems = [], [], []
    for node, answer in answers.items():
        name = names[node]
        if isinstance(answer, NodeReport):
            reports.append(replace(answer, node=name))
        elif isinstance(answer, DEAD):
            gone.append(name)  # no stage will run there
        elif answer is None:
            problems.append(f"{name}: {SILENT} in {WAIT_SECONDS:.0f} s")
        elif isinstance(answer, CRASHED):
            problems.append(f"{name}: the process {DIED}, twice ({last_line(answer)})")
        else:
            problems.append(f"{name}: cannot run qpmstudy ({last_line(answer)})")
    return reports, gone, problems


def _answers(
    nodes: Iterable[str], root: Path, probe: str
) -> dict[str, NodeReport | Exception | None]:
    """Return what each node answers, by Ray's name of it; an error as itself, None: nothing."""
    task = ray.remote(num_cpus=0, max_retries=0)(report)
    asked = {
        task.options(
            name="check", scheduling_strategy=NodeAffinitySchedulingStrategy(node, False)
        ).remote(root, probe): node
        for node in nodes
    }
    answers: dict[str, NodeReport | Exception | None] = dict.fromkeys(asked.values())
    for done in ray.wait(list(asked), num_returns=len(asked), timeout=WAIT_SECONDS)[0]:
        try:
            answers[asked[done]] = ray.get(done)
        except Exception as error:  # whatever an import of other code may raise
            answers[asked[done]] = error
    return answers


def _remedy(problem: str) -> str:
    if SILENT in problem:
        return ANSWERING
    if DIED in problem:
        return LOGGED
    return SAME_ROOT if "storage root" in problem else SAME_CODE


def _root_problem(root: Path, probe: str) -> str:
    try:
        if (root / probe).read_bytes() != probe.encode():
            return f"the storage root {root} holds other files than the driver's"
        mine = root / f"{probe}.{uuid.uuid4().hex}"
        write_bytes(mine, b"")
        mine.unlink()
    except FileNotFoundError:
        return f"the storage root {root} is not there, or not the driver's"
    except OSError as error:
        return f"the storage root {root} cannot be used: {error}"
    return ""
