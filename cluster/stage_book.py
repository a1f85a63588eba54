"""What decides if a stage is computed, awaited, reused or tried again: no Ray, clock or disk."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Decision(Enum):
    """What to do about a stage that a trial asks for."""

    REUSE = "reused"
    """Its result is stored."""
    JOIN = "joined"
    """Another trial's request is computing it: wait for that."""
    COMPUTE = "computed"
    """It has to be computed, and the one who asked first does so."""


class Failure(Enum):
    """Why a computation ended without a result."""

    ERROR = "error"
    """The stage raised: the same inputs would raise again."""
    LOST = "lost"
    """Its worker or node died or fell silent, or an input was lost with one."""
    MEMORY = "memory"
    """It was denied memory, of the machine or of a GPU; another may leave more."""
    LATE = "late"
    """It was not done within its time limit: it hangs on its node, or needs longer than that."""
    STORAGE = "storage"
    """A file could not be read or written: full, read-only, gone."""


ATTEMPTS: Mapping[Failure, int] = {
    Failure.ERROR: 1,
    Failure.LOST: 4,
    Failure.MEMORY: 3,
    Failure.LATE: 2,  # each costs the whole limit
    Failure.STORAGE: 2,
}
"""How often a stage may end in this way before it has failed."""


@dataclass
class StageBook:
    """Which stages are in flight, and how each request was answered.

    Events go in (`request`, `finished`, `failed`, `cancelled`, `left`), decisions come out. At most
    one computation of a key is ever in flight. Who asked for it owns nothing of it: a requester
    that is gone holds nobody up, and a book that is lost is begun anew from what is stored. It ends
    before its time only if everybody who asked said that they want it no more.
    """

    in_flight: dict[str, str] = field(default_factory=dict)  # key -> stage
    running: Counter[str] = field(default_factory=Counter)  # in flight, by stage
    counts: Counter[tuple[str, Decision]] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)  # by stage, final ones
    retries: Counter[str] = field(default_factory=Counter)  # by stage
    _losses: dict[str, Counter[Failure]] = field(default_factory=dict)  # by key, while in flight
    _waiting: dict[str, set[Hashable]] = field(default_factory=dict)  # by key, while in flight

    def request(self, stage: str, key: str, stored: bool, who: Hashable = None) -> Decision:
        """Decide about a request of `who`; `stored` says whether an intact result is in the store.

        Who asks twice, as after the loss of a coordinator, waits once.
        """
        if key in self.in_flight:
            decision = Decision.JOIN
        elif stored:
            decision = Decision.REUSE
        else:
            decision = Decision.COMPUTE
            self.in_flight[key] = stage
            self.running[stage] += 1
            self._losses[key], self._waiting[key] = Counter(), set()
        if key in self.in_flight:
            self._waiting[key].add(who)
        self.counts[stage, decision] += 1
        return decision

    def finished(self, key: str) -> None:
        """Note that the computation of `key` is stored."""
        self.running[self.in_flight.pop(key)] -= 1
        del self._losses[key], self._waiting[key]

    def failed(self, key: str, why: Failure) -> bool:
        """Note that a computation of `key` ended without a result; return whether to try again.

        If not, it is in flight no more, and the next request computes it anew.
        """
        self._losses[key][why] += 1
        stage = self.in_flight[key]
        if self._losses[key][why] < ATTEMPTS[why]:
            self.retries[stage] += 1
            return True
        self.failures[stage] += 1
        self.finished(key)
        return False

    def cancelled(self, key: str) -> None:
        """Note that the computation of `key` was stopped, which is no failure."""
        self.finished(key)

    def left(self, key: str, who: Hashable = None) -> bool:
        """Note that one of those who asked for `key` wants it no more; return whether nobody does.

        Then its computation is to be stopped, and is in flight no more.
        """
        if key not in self.in_flight or who not in self._waiting[key]:
            return False
        self._waiting[key].remove(who)
        if self._waiting[key]:
            return False
        self.finished(key)
        return True

    def tally(self, stage: str) -> dict[str, int]:
        """Return how many requests for `stage` were computed, joined and reused."""
        return {decision.value: self.counts[stage, decision] for decision in Decision}
