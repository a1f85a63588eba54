"""When a computation that shows no sign of life is taken for lost: no Ray, clock or thread.

Whoever computes beats, whoever waits for it ticks. A lease is over when so many ticks have passed
since the last beat. They are counted, not read from a clock: time in which the one who waits stood
still, because it was stopped or because everything was, as on a laptop that slept, is one tick.
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


@dataclass
class Lease:
    """The claim of one computation on its stage.

    It runs from the first beat: until then the computation waits for its resources.
    """

    holder: Holder | None = None
    _ticks: int = 0  # since the last beat

    def beat(self, holder: Holder) -> None:
        """Note a sign of life."""
        self.holder, self._ticks = holder, 0

    def tick(self) -> Holder | None:
        """Note that time has passed; return who has been silent for too long, or None."""
        if self.holder is None:
            return None
        self._ticks += 1
        return self.holder if self._ticks >= TICKS else None


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
