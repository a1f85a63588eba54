"""Starting Ray, or joining a cluster that runs; and leaving nothing behind."""

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from cluster.addresses import connect_error, is_loopback
from cluster.auth_token import ensure_token, refusal, require_token
from cluster.tokens import TOKEN
from qpmstudy.errors import ConfigError, DataError, WorkerError
from storage.study.spec import Resources

NODE_LABEL = "ray.io/node-id"
"""The label by which Ray itself names each node."""


def joins_cluster() -> bool:
    """Return whether RAY_ADDRESS names a cluster to join, instead of starting a local one."""
    return bool(os.environ.get("RAY_ADDRESS"))


@contextmanager
def ray_session(
    verbose: bool, tokens: int = 0, shared: int | None = None, address: str | None = None
) -> Iterator[None]:
    """Connect to a cluster, or run a local one for the length of the block.

    The cluster is the one at `address`, or else at RAY_ADDRESS. `tokens` is how many Gurobi tokens
    a local one offers, `shared` how many bytes its object store holds; None leaves that to Ray,
    which takes 30 % of the memory. A process that is connected already keeps its connection:
    launches inside one session share its workers.

    Raises:
        ConfigError: the cluster cannot be reached, or refuses the token.
        WorkerError: Ray's processes do not start.
        DataError: its object store is full when the block puts something there.
    """
    if ray.is_initialized():
        with _store_full_is_told():
            yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    (require_token if address else ensure_token)()
    # Tune logs a traceback for each lost trial; the launch reports those in a line of its own.
    level = logging.INFO if verbose else logging.CRITICAL
    local: dict[str, object] = {}
    if not address:
        local = {"resources": {TOKEN: float(tokens)}} if tokens else {}
        local |= {"object_store_memory": shared} if shared is not None else {}
    with warnings.catch_warnings():
        if not verbose:
            warnings.simplefilter("ignore")
        _connect(
            address=address or "local",  # never whatever cluster happens to be up
            include_dashboard=None if address else False,
            log_to_driver=verbose,
            logging_level=level,
            configure_logging=True,
            **local,
        )
        # Ray was imported before this package, and with that decided to listen everywhere.
        assert address or is_loopback(ray.util.get_node_ip_address())
        for name in ("ray", "ray.tune", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(level)
        try:
            with _store_full_is_told():
                yield
        finally:
            ray.shutdown()


@contextmanager
def _store_full_is_told() -> Iterator[None]:
    try:
        yield
    except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError):
        raise DataError(
            "The object store of the cluster is full, and so is the disk that Ray moves objects "
            "to. Wait for what else runs there, free disk space, or start its nodes with a larger "
            "--object-store-memory; then launch again: nothing finished is lost."
        ) from None


def _connect(address: str, **options: Any) -> None:
    why = None if address == "local" else connect_error(address)
    if why:
        raise ConfigError(
            f"No cluster can be reached at {address}: {why}. Start it, or correct "
            "RAY_ADDRESS; without that variable a launch uses this machine alone."
        )
    try:
        ray.init(address=address, **options)
    except Exception as error:
        if _is_about_the_token(error):
            raise ConfigError(refusal(address)) from None
        where = "on this machine" if address == "local" else f"here to join {address}"
        folder = os.environ.get("RAY_TMPDIR", "/tmp")
        first_line, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise WorkerError(
            f"Ray does not start {where}: {first_line}. Its logs are in "
            f"{folder}/ray/session_latest/logs; what it lacks is often memory, or space in "
            f"{folder} or /dev/shm. Then run the same command again: nothing finished is lost."
        ) from error


def _is_about_the_token(error: BaseException | None) -> bool:
    """Return whether a refused token is behind an error, which Ray wraps in others."""
    while error is not None:
        if isinstance(error, ray.exceptions.AuthenticationError) or "AuthToken" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def slots(stage: str, resources: Resources) -> int:
    """Return how many tasks of a stage, with these resources, fit into the cluster at once.

    Raises:
        ConfigError: not one does, and no node can be started for it.
    """
    needs = _needs(resources)
    nodes = _nodes()
    count = sum(_fit(node, needs) for node in nodes)
    if not count and not joins_cluster():
        has = {name: nodes[0].get(name, 0) for name in needs} if nodes else {}
        raise ConfigError(
            f"The stage {stage!r} asks for {_words(needs)}, but this machine offers {_words(has)}. "
            f"Lower what it asks for in the study file (stages: {{{stage}: {{cpu: 1, gpu: 0}}}}), "
            "or set RAY_ADDRESS to a cluster that has them."
        )
    return max(1, count)


def pools(choices: Mapping[str, Resources]) -> dict[str, str]:
    """Return by name which resource is the scarce one of these: GPUs where they are asked for."""
    return {name: "GPU" if needs.gpu else "CPU" for name, needs in choices.items()}


def tasks_on_a_node(choices: Iterable[Resources]) -> int:
    """Return how many tasks may run on one node at once, of whichever of these resources."""
    return max(1, *(_fit(node, _needs(each)) for node in _nodes() for each in choices))


def shared_memory_of_nodes() -> int | None:
    """Return how many bytes of objects every node that can run tasks holds.

    None where no such node is up yet: an autoscaler starts the first one for the first task.
    """
    held = [node["object_store_memory"] for node in _nodes() if node.get("CPU")]
    return int(min(held)) if held else None


def _nodes() -> list[dict[str, float]]:
    """Return the resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fit(node: Mapping[str, float], needs: Mapping[str, float]) -> int:
    return int(min(node.get(name, 0) // need for name, need in needs.items()))


def ray_options(resources: Resources, tokens: float) -> dict[str, object]:
    """Return what Ray's `.options()` takes to reserve these resources and Gurobi tokens."""
    custom = {TOKEN: tokens} if tokens else {}
    return {"num_cpus": resources.cpu, "num_gpus": resources.gpu, "resources": custom}


def elsewhere(node: str) -> dict[str, object]:
    """Return what Ray's `.options()` takes to run on another node than this, if one is free."""
    return {
        "label_selector": {NODE_LABEL: f"!{node}"},
        "fallback_strategy": [{"label_selector": {}}],
    }


def _needs(resources: Resources) -> dict[str, float]:
    needs = {"CPU": resources.cpu, "GPU": resources.gpu, TOKEN: resources.gurobi or 0}
    return {name: need for name, need in needs.items() if need}


def _words(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items()) or "nothing"
