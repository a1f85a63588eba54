"""A cluster with room for a study's embeddings, and how its nodes read them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from cluster.session import joins_cluster, ray_session, shared_memory_of_nodes, tasks_on_a_node
from qpmstudy.stage_graph import STAGES
from storage.embeddings import EmbeddingStore
from storage.memory import RESERVE, allowed_memory, available_memory
from storage.reading import Reading, plan_reading
from storage.study import StudySpec

RAYS_SHARE = 0.25
"""Ray gives its object store a little more than this share of the memory unasked."""
OBJECTS = 2**28
"""Bytes in the object store besides embeddings."""


@contextmanager
def cluster_with_room(
    spec: StudySpec, stores: Sequence[EmbeddingStore], verbose: bool, tokens: int
) -> Iterator[Reading]:
    """Run a local cluster for the length of the block, or join one; provide how stores are read.

    A node of a cluster that is joined holds what its object store was given; a local one gets
    the object store that the stores need, if they fit into what memory there is.

    Args:
        spec: the study.
        stores: what it reads.
        verbose: let Ray speak.
        tokens: how many Gurobi tokens a local cluster offers.

    Raises:
        ConfigError: QPMSTUDY_MEMORY is no amount of memory.
    """
    choices = [spec.resources(stage) for stage in STAGES]
    if joins_cluster():
        with ray_session(verbose):
            allowed = allowed_memory(shared_memory_of_nodes())
            yield plan_reading(stores, allowed, tasks_on_a_node(choices))
        return
    available = available_memory()
    room = None if available is None else max(0, available - RESERVE)
    reading = plan_reading(stores, allowed_memory(room))
    wanted = OBJECTS + int(1.1 * reading.shared_bytes)
    enough = available is None or wanted <= RAYS_SHARE * available
    with ray_session(verbose, tokens, None if enough else wanted):
        yield replace(reading, tasks=tasks_on_a_node(choices))
