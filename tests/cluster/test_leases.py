"""Who is silent for too long, on a virtual clock on which processes stand still and go on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.leases import SECONDS, TICKS, Holder, Lease, lease_seconds
from qpmstudy.errors import ConfigError

PERIOD = 4  # moments between two beats, and between two ticks
LEASE = TICKS * PERIOD
HOLDER = Holder("node", "host", 7)

Pauses = list[tuple[int, int]]  # moments that stay between two of them, and how long each is
PAUSES: st.SearchStrategy[Pauses] = st.lists(
    st.tuples(st.integers(1, 3 * LEASE), st.integers(1, 5 * LEASE)), max_size=6
)
SHORT: st.SearchStrategy[Pauses] = st.lists(
    st.tuples(st.integers(2 * PERIOD, LEASE), st.integers(1, LEASE - 3 * PERIOD)), max_size=6
)


def standing_still(pauses: Pauses) -> set[int]:
    """Return the moments at which a process does nothing."""
    still, now = set[int](), 0
    for between, length in pauses:
        now += between
        still |= set(range(now, now + length))
        now += length
    return still


def condemned(worker: set[int], ledger: set[int], moments: int) -> int | None:
    """Return at which moment a computation is taken for lost; both stand still at their moments.

    Clocks run on meanwhile: what was due when a process stood still is done once, when it goes on.
    What was sent to one that stands still waits. A tick is always before the beats that wait.
    """
    lease, sent, next_beat, next_tick = Lease(), 0, 0, 0
    for now in range(moments):
        if now not in worker and now >= next_beat:
            sent, next_beat = sent + 1, now + PERIOD
        if now in ledger:
            continue
        if now >= next_tick:
            next_tick = now + PERIOD
            if lease.tick():
                return now
        for _ in range(sent):
            lease.beat(HOLDER)
        sent = 0
    return None


@given(PAUSES, PAUSES)
def test_time_in_which_the_ledger_stands_still_costs_nobody_anything(
    everything: Pauses, ledger: Pauses
) -> None:
    """A laptop sleeps, the ledger is stopped: whoever computes stands still only with it."""
    asleep = standing_still(everything)
    assert condemned(asleep, asleep | standing_still(ledger), 2_000) is None


@given(SHORT)
def test_pauses_shorter_than_the_lease_cost_nothing(worker: Pauses) -> None:
    assert condemned(standing_still(worker), set(), 2_000) is None


@given(st.integers(1, 500), PAUSES)
def test_who_stands_still_for_good_is_lost_after_the_lease_that_the_ledger_has_lived(
    stops: int, ledger: Pauses
) -> None:
    asleep = standing_still(ledger)
    moment = condemned(set(range(stops, 10_000)), asleep, 10_000)
    assert moment is not None
    lived = len(set(range(stops, moment)) - asleep)
    assert lived <= LEASE + PERIOD
    if not asleep:
        assert lived >= LEASE - 2 * PERIOD


def test_who_has_not_begun_may_wait_for_ever() -> None:
    lease = Lease()
    assert not any(lease.tick() for _ in range(10 * TICKS))
    lease.beat(HOLDER)
    found = [lease.tick() for _ in range(TICKS)]
    assert found == [None] * (TICKS - 1) + [HOLDER]


def test_the_lease_is_two_minutes_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QPMSTUDY_LEASE", raising=False)
    assert lease_seconds() == SECONDS == 120
    monkeypatch.setenv("QPMSTUDY_LEASE", "2.5")
    assert lease_seconds() == 2.5


@pytest.mark.parametrize("text", ["", "soon", "0", "-3", "nan", "inf", "2m"])
def test_what_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("QPMSTUDY_LEASE", text)
    with pytest.raises(ConfigError, match=r"QPMSTUDY_LEASE = .* is no time .* such as 120\."):
        lease_seconds()
