"""qpmstudy cluster: a Ray cluster of one's own machines."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cluster.commands.options import console, root_option, storage_root, told


@click.group()
def cluster() -> None:
    """Start, look at and stop a Ray cluster of your own machines."""


@cluster.command()
@click.option("--cpus", type=click.IntRange(min=0), help="CPUs to offer.  [default: all]")
@click.option("--gpus", type=click.IntRange(min=0), help="GPUs to offer.  [default: all]")
@click.option(
    "--gurobi",
    type=click.IntRange(min=0),
    help="Gurobi tokens to offer.  [default: what `license` says]",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=6379,
    show_default=True,
    help="Port of the head, which others join.",
)
@click.option("--listen", metavar="ADDRESS", help="This machine's address, for others to join.")
@click.option("--join", metavar="HOST:PORT", help="Join the cluster of this head.")
@told
def up(
    cpus: int | None,
    gpus: int | None,
    gurobi: int | None,
    port: int,
    listen: str | None,
    join: str | None,
) -> None:
    """Start a cluster on this machine, or join one.

    A cluster listens on loopback alone unless --listen says at which address other machines
    reach this one. Who joins, and who launches studies, must have the cluster's token: a file
    that is made on first use, for its owner alone. Nodes need this package in the same version
    and the storage root under the same path.
    """
    from cluster.auth_token import token_file
    from cluster.local_cluster import NodeOptions, up
    from qpmstudy.selection.licenses import probe

    tokens = probe().tokens if gurobi is None else gurobi
    node = up(NodeOptions(cpus, gpus, tokens, port, listen, join))
    if not node.head:
        click.echo(f"This machine is a node of the cluster at {node.address}.")
    else:
        click.echo(f"A cluster is up at {node.address}. Studies run on it after")
        click.echo(f"  export RAY_ADDRESS={node.address}")
        if listen:
            click.echo(
                "Ray listens on every interface of this machine, and answers whoever has the "
                f"token in\n{token_file()}. Copy that file (scp -p) to a machine of the same "
                f"network, and there\n  python cli.py cluster up --join {node.address}"
            )
    click.echo("Stop it: python cli.py cluster down")


@cluster.command()
@root_option
@told
def status(root: Path) -> None:
    """Say which nodes the cluster has, what they offer, and which studies run.

    The cluster is the one at RAY_ADDRESS, or else the one that `up` started or joined here.
    """
    from cluster.local_cluster import this_node
    from cluster.node_table import cluster_table
    from cluster.session import ray_session
    from qpmstudy.errors import ConfigError
    from storage.driver_lock import is_running

    node = this_node()
    address = os.environ.get("RAY_ADDRESS") or (node.address if node else None)
    if address is None:
        raise ConfigError("No cluster is up here. Start one: python cli.py cluster up")
    with ray_session(verbose=False, address=address):
        console().print(cluster_table())
    running = [s.name for s in storage_root(root).studies() if is_running(s.lock)]
    click.echo(f"cluster: {address}")
    click.echo(f"studies running under {root}: {', '.join(running) or 'none'}")


@cluster.command()
@told
def down() -> None:
    """Stop what `up` started on this machine, and nothing else.

    A study that runs on it ends, or goes on where other nodes are left; nothing finished is lost.
    """
    from cluster.local_cluster import down

    node = down()
    if node is None:
        click.echo("Nothing that `cluster up` started runs on this machine.")
    else:
        click.echo(f"Stopped the {'head' if node.head else 'node'} of the cluster {node.address}.")
