"""What decides whether a stage is computed, awaited or reused: no Ray, no clock, no disk."""

from collections import Counter
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


@dataclass
class StageBook:
    """Which stages are in flight, and how each request was answered.

    Events go in (`request`, `finished`, `failed`), decisions come out. At most one computation
    of a key is ever in flight.
    """

    in_flight: dict[str, str] = field(default_factory=dict)  # key -> stage
    counts: Counter[tuple[str, Decision]] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def request(self, stage: str, key: str, stored: bool) -> Decision:
        """Decide about a request; `stored` says whether an intact result is in the store."""
        if key in self.in_flight:
            decision = Decision.JOIN
        elif stored:
            decision = Decision.REUSE
        else:
            decision = Decision.COMPUTE
            self.in_flight[key] = stage
        self.counts[stage, decision] += 1
        return decision

    def finished(self, key: str) -> None:
        """Note that the computation of `key` is stored."""
        del self.in_flight[key]

    def failed(self, key: str) -> None:
        """Note that the computation of `key` ended without a result; the next request retries."""
        self.failures[self.in_flight.pop(key)] += 1

    def tally(self, stage: str) -> dict[str, int]:
        """Return how many requests for `stage` were computed, joined and reused."""
        return {decision.value: self.counts[stage, decision] for decision in Decision}
