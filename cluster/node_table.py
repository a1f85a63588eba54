"""The nodes of a cluster, as a person wants to see them."""

import ray
from rich.table import Table

from cluster.tokens import TOKEN

COLUMNS = {"CPU": "CPUs", "GPU": "GPUs", TOKEN: "Gurobi tokens", "memory": "memory, GiB"}
"""Ray's names of resources, and ours."""


def cluster_table() -> Table:
    """Return each node with what it offers, and what of all is free now."""
    table = Table("node", "address", *COLUMNS.values(), title_justify="left")
    for node in sorted(ray.nodes(), key=lambda node: str(node["NodeManagerAddress"])):
        state = "" if node["Alive"] else " (lost)"
        name, address = f"{node['NodeManagerHostname']}{state}", node["NodeManagerAddress"]
        table.add_row(name, address, *_amounts(node["Resources"] if node["Alive"] else {}))
    table.add_section()
    table.add_row("free", "", *_amounts(ray.available_resources()))
    return table


def _amounts(resources: dict[str, float]) -> list[str]:
    scale = {"memory": 2**30}
    return [f"{resources.get(name, 0) / scale.get(name, 1):.4g}" for name in COLUMNS]
