"""Whether another trial is to be started: a cluster must not idle, nor drown in waiting trials.

A trial spends most of its time in one kind of resource after the other: its selection may take
hours of a CPU while no GPU does anything for it. So trials are started by what is asked of the
cluster, not by their number.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SPARE = 0.25
"""Tasks that wait for a slot, as a share of the slots, and one: a freed slot is filled at once."""
MOST = 8
"""Replicates in flight for each slot, at most: each waiting one takes a little memory."""


@dataclass(frozen=True)
class Demand:
    """What a cluster can do at once.

    Attributes:
        slots: by stage, how many tasks of it fit when nothing else runs.
        pools: by stage, the name of the resource that bounds it ("GPU", else "CPU").
        entry: the stage that a new trial begins with.
    """

    slots: Mapping[str, int]
    pools: Mapping[str, str]
    entry: str

    @property
    def most(self) -> int:
        """Return how many replicates may be in flight at once."""
        return MOST * max(1, *self.slots.values())

    def room(self, asked: Mapping[str, int], fresh: int, replicates: int) -> bool:
        """Return whether another trial should be started.

        Args:
            asked: stages that run or wait for their resources, by name.
            fresh: replicates started so recently that they have asked for no stage yet.
            replicates: all replicates in flight.
        """
        if replicates >= self.most:
            return False
        slots, pool = self.slots[self.entry], self.pools[self.entry]
        load = fresh + sum(n for stage, n in asked.items() if self.pools[stage] == pool)
        return load < slots + 1 + int(SPARE * slots)
