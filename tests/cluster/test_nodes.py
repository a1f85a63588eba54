"""The check of all nodes on a cluster of two, of which one has other packages."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.auth_token import ensure_token
from cluster.versions import check_nodes
from qpmstudy.errors import ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OTHER = "0.0.1"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
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
