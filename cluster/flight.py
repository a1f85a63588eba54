"""One attempt to compute a stage, from the start of its task to its end, however that comes."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray

from cluster.heartbeat import end
from cluster.leases import TICKS, Holder, Lease
from cluster.stage_errors import SilentError

GRACE_SECONDS = 5.0
"""For a task to end by what it was told before it is told more forcefully."""
KILL_SECONDS = 60.0
"""For a process to be killed on its node; the first task there may import much."""


class Flight:
    """A task that computes a stage, and the lease of its process on it.

    Attributes:
        attempt: tells it from another attempt to compute the same stage.
        running: reference to the task, or whatever else is awaited for its result.
        lease: to be told of signs of life.
    """

    def __init__(self, submit: Callable[[str], Any], lease_seconds: float) -> None:
        """Start it: `submit` takes the attempt and returns what is awaited."""
        self.attempt, self.lease, self._seconds = uuid.uuid4().hex, Lease(), lease_seconds
        self.running = submit(self.attempt)
        self._ended = asyncio.ensure_future(self.running)
        # Nobody may be waiting any more when it fails; that is no unhandled error.
        self._ended.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def result(self) -> float:
        """Return the seconds that the stage took.

        Raises:
            SilentError: its process gave no sign of life for as long as the lease, and was killed.
            Exception: whatever the task raised.
        """
        while not await self._over(self._seconds / TICKS):
            holder = self.lease.tick()
            if holder:
                await _kill(holder)
                if await self._over(GRACE_SECONDS) and not self._ended.exception():
                    break  # it was stored at the last moment
                ray.cancel(self.running, force=True)
                raise SilentError(holder.pid, holder.host, self._seconds)
        return float(self._ended.result())

    async def stop(self) -> None:
        """End the task, which nobody waits for: by an interrupt, which spares its worker, or force.

        Ray has to ask the process for either. One that does not answer is killed on its node.
        """
        ray.cancel(self.running)
        if await self._over(GRACE_SECONDS):
            return
        ray.cancel(self.running, force=True)
        if self.lease.holder and not await self._over(GRACE_SECONDS):
            await _kill(self.lease.holder)
        await self._over(GRACE_SECONDS)

    async def _over(self, seconds: float) -> bool:
        """Return whether the task ends within so many seconds, as soon as it does."""
        return bool((await asyncio.wait([self._ended], timeout=seconds))[0])


async def _kill(holder: Holder) -> None:
    """End a process, if its node can be reached; whoever waits for it gives it up in any case."""
    with suppress(Exception):
        await asyncio.wait_for(_ended(end(holder)), KILL_SECONDS)


async def _ended(running: Any) -> None:
    await running
