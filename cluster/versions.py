"""Whether every node of a cluster computes with the same code and libraries, on the same files.

A study whose nodes differ would be a mixture of two programs under one name. Nodes that join
later, as an autoscaler's do, are not asked: they come from the same image or folder.
"""

import platform
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from qpmstudy.errors import ConfigError
from qpmstudy.files import write_bytes
from storage.provenance import PROJECT, source_hash, versions

WAIT_SECONDS = 120.0  # a first task imports torch, perhaps from a slow file system
SAME_CODE = "Install the same versions on every node: pip install -c constraints.txt -e ."
SILENT = "gave no answer"
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
        ConfigError: nodes that differ, and in what, or that are there but give no answer.
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
    task = ray.remote(num_cpus=0, max_retries=0)(report)
    asked = {
        task.options(
            name="check", scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False)
        ).remote(root, probe): f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"]
    }
    reports, gone, problems = [], [], []
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=WAIT_SECONDS)
    problems += [f"{asked[one]}: {SILENT} in {WAIT_SECONDS:.0f} s" for one in late]
    for one in done:
        try:
            found: NodeReport = ray.get(one)
            reports.append(NodeReport(asked[one], found.versions, found.code, found.root))
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
            gone.append(asked[one])  # no stage will run there
        except Exception as error:  # whatever an import of other code may raise
            why = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            problems.append(f"{asked[one]}: cannot run qpmstudy ({why})")
    return reports, gone, problems


def _remedy(problem: str) -> str:
    if SILENT in problem:
        return ANSWERING
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
