"""One attempt to compute a stage, from the start of its task to its end, however that comes."""

import asyncio
import math
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray

from cluster.heartbeat import end
from cluster.leases import TICKS, Holder, Lease
from cluster.stage_errors import LateError, SilentError

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

    def __init__(
        self,
        submit: Callable[[str], Any],
        lease_seconds: float,
        limit_seconds: float = math.inf,
    ) -> None:
        """Start it: `submit` takes the attempt and returns what is awaited."""
        self.attempt, self._seconds, self._limit = uuid.uuid4().hex, lease_seconds, limit_seconds
        self._tick = lease_seconds / TICKS
        self.lease = Lease(limit_seconds / self._tick)
        self.running = submit(self.attempt)
        self._ended = asyncio.ensure_future(self.running)
        # Nobody may be waiting any more when it fails; that is no unhandled error.
        self._ended.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def result(self) -> float:
        """Return the seconds that the stage took.

        Raises:
            SilentError: its process gave no sign of life for as long as the lease, and was killed.
            LateError: it was not done when its time limit was over, and was ended.
            Exception: whatever the task raised.
        """
        while not await self._over(self._tick):
            over = self.lease.tick()
            if over is None:
                continue
            # No interrupt: whoever hangs may not be there for the next stage.
            await (self._force() if over.late else self._silence(over.holder))
            if self._ended.done() and not self._ended.exception():
                break  # it was stored at the last moment
            if over.late:
                raise LateError(over.holder, self._limit)
            raise SilentError(over.holder, self._seconds)
        return float(self._ended.result())

    async def stop(self) -> None:
        """End the task, which nobody wants: by an interrupt, which spares its worker, or by force.

        Ray has to ask the process for either. One that does not answer is killed on its node.
        """
        ray.cancel(self.running)
        if not await self._over(GRACE_SECONDS):
            await self._force()

    async def _force(self) -> None:
        """End the task and its process."""
        ray.cancel(self.running, force=True)
        if self.lease.holder and not await self._over(GRACE_SECONDS):
            await _kill(self.lease.holder)
        await self._over(GRACE_SECONDS)

    async def _silence(self, holder: Holder) -> None:
        """End the task of a process that hears nothing of what Ray asks it."""
        await _kill(holder)
        if not await self._over(GRACE_SECONDS):
            ray.cancel(self.running, force=True)

    async def _over(self, seconds: float) -> bool:
        """Return whether the task ends within so many seconds, as soon as it does."""
        return bool((await asyncio.wait([self._ended], timeout=seconds))[0])


async def _kill(holder: Holder) -> None:
    """End a process, if its node can be reached; whoever waits for it gives it up in any case."""
    with suppress(Exception):
        await asyncio.wait_for(_ended(end(holder)), KILL_SECONDS)


async def _ended(running: Any) -> None:
    await running
