"""When a computation is given up, silent or still at it after its time: no Ray, clock or thread.

Whoever computes beats, whoever waits for it ticks. A lease is over when so many ticks have passed
since the last beat, or since the first if there is a time limit. They are counted, not read from a
clock: time in which the one who waits stood still, because it was stopped or because everything
was, as on a laptop that slept, is one tick.
"""

import math
import os
from dataclasses import dataclass

from qpmstudy.errors import ConfigError

VARIABLE = "QPMSTUDY_LEASE"
"""Environment variable: seconds without a sign of life after which a stage's process is killed."""
SECONDS = 120.0
"""Without it. A call that holds Python's global lock silences a process that is well."""
LEAST = 1.0
TICKS = 8
"""In which a lease is counted; a process that is well beats as often."""


@dataclass(frozen=True)
class Holder:
    """A process that computes a stage, as its node knows it.

    Attributes:
        node: Ray's name of the node.
        host: name of the machine.
        pid: number of the process there.
    """

    node: str
    host: str
    pid: int


@dataclass(frozen=True)
class Over:
    """The end of a lease.

    Attributes:
        holder: whose process is to be ended.
        late: it gives signs of life, but its time limit is over; else it was silent for too long.
    """

    holder: Holder
    late: bool


@dataclass
class Lease:
    """The claim of one computation on its stage.

    It runs from the first beat: until then the computation waits for its resources.

    Attributes:
        limit: how many ticks the computation may take.
        holder: who computes, known from the first beat on.
    """

    limit: float = math.inf
    holder: Holder | None = None
    _silent: int = 0  # ticks since the last beat
    _taken: int = -1  # since the first one; the tick after it may come at once, and is no time

    def beat(self, holder: Holder) -> None:
        """Note a sign of life."""
        self.holder, self._silent = holder, 0

    def tick(self) -> Over | None:
        """Note that time has passed; return how the lease is over, or None while it is not."""
        if self.holder is None:
            return None
        self._silent += 1
        self._taken += 1
        if self._silent >= TICKS:
            return Over(self.holder, late=False)
        return Over(self.holder, late=True) if self._taken >= self.limit else None


def lease_seconds() -> float:
    """Return how long a computation may show no sign of life.

    It is what the environment variable QPMSTUDY_LEASE says, else two minutes.

    Raises:
        ConfigError: the variable is no number of seconds, or less than one.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not LEAST <= seconds < math.inf:
        raise ConfigError(
            f"{VARIABLE} = {text!r} is no time that a stage may be silent: write a number of "
            f"seconds, {LEAST:g} or more, such as {SECONDS:g}."
        )
    return seconds
