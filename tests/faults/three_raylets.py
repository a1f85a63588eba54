"""A cluster of three raylets on this machine's loopback, any of which may be killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from ray.cluster_utils import Cluster

from cluster.auth_token import ensure_token

NODES = 3
SMALL = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
"""Of each node; embeddings of the smallest birds take a tenth of its object store."""
IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
"""Ray gives up a silent node after seconds instead of a minute. To be set before it starts."""


class ThreeRaylets:
    """A head's services, and three raylets that share them."""

    def __init__(self) -> None:
        self._cluster = Cluster()
        self._nodes: list[Any] = []
        self.complete()

    @property
    def address(self) -> str:
        """Return where a driver joins."""
        return str(self._cluster.address)

    @property
    def raylets(self) -> list[psutil.Process]:
        """Return the raylets that run; the first of the whole cluster's life is the head's."""
        return [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in self._up()]

    def complete(self) -> None:
        """Start as many raylets as there are missing."""
        for _ in range(NODES - len(self._up())):
            self._nodes.append(self._cluster.add_node(**SMALL))

    def down(self) -> None:
        """Stop everything."""
        self._cluster.shutdown()

    def _up(self) -> list[Any]:
        return [
            node for node in self._nodes if node.all_processes["raylet"][0].process.poll() is None
        ]


@contextmanager
def three_raylets() -> Iterator[ThreeRaylets]:
    """Run a cluster of three raylets for the length of the block."""
    ensure_token()
    cluster = ThreeRaylets()
    try:
        yield cluster
    finally:
        cluster.down()
