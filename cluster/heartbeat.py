"""Signs of life of a stage's process, and the end of a process that gives none.

Ray notices a process that died, not one that stands still: stopped by a signal, frozen, or in a
call that keeps Python's global lock. Nor can it end such a one, since it asks the process itself.
"""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.leases import TICKS, Holder
from cluster.ticking import every

WORKER = "ray::"
"""What the command line of a process begins with that computes for Ray."""


@dataclass(frozen=True)
class LedgerLine:
    """The line from one computation of a stage to the ledger that wants it.

    Attributes:
        ledger: handle of the StageLedger actor.
        key: of the stage.
        attempt: tells this computation from another one of the same stage.
        lease: seconds without a sign of life after which the ledger takes it for lost.
    """

    ledger: Any
    key: str
    attempt: str
    lease: float

    def note_epoch(self, record: Mapping[str, float]) -> None:
        """Pass on the record of an epoch."""
        self.ledger.note_epoch.remote(self.key, record)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life for the length of the block, from a thread."""
        node = ray.get_runtime_context().get_node_id()
        holder = Holder(node, platform.node(), os.getpid())

        def beat() -> bool:
            self.ledger.beat.remote(self.attempt, holder)
            return True

        beat()  # before a call that holds up every thread
        with every(self.lease / TICKS, beat):
            yield


def end(holder: Holder) -> Any:
    """Start to kill a process on its node, whatever it does; returns what to await."""
    here = NodeAffinitySchedulingStrategy(holder.node, soft=False)
    return _kill.options(name="end", scheduling_strategy=here).remote(holder.pid)


@ray.remote(num_cpus=0, max_retries=0)
def _kill(pid: int) -> None:
    """Kill a process that computes for Ray; another one that got its number is left alone."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        process = psutil.Process(pid)
        if "".join(process.cmdline()).startswith(WORKER):
            process.kill()
