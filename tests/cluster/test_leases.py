"""Who is silent or at it for too long, on a virtual clock: processes stand still and go on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.leases import SECONDS, TICKS, Holder, Lease, Over, lease_seconds
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


def ending(
    worker: set[int], ledger: set[int], moments: int, limit: float = math.inf, begins: int = 0
) -> tuple[int, bool] | None:
    """Return at which moment a computation is given up, and whether for being late.

    Both stand still at their moments; what computes `begins` when there are resources for it.

    Clocks run on meanwhile: what was due when a process stood still is done once, when it goes on.
    What was sent to one that stands still waits. A tick is always before the beats that wait.
    """
    lease, sent, next_beat, next_tick = Lease(limit / PERIOD), 0, begins, 0
    for now in range(moments):
        if now not in worker and now >= next_beat:
            sent, next_beat = sent + 1, now + PERIOD
        if now in ledger:
            continue
        if now >= next_tick:
            next_tick = now + PERIOD
            if over := lease.tick():
                assert over.holder == HOLDER
                return now, over.late
        for _ in range(sent):
            lease.beat(HOLDER)
        sent = 0
    return None


def condemned(worker: set[int], ledger: set[int], moments: int) -> int | None:
    """Return at which moment a computation without a time limit is taken for lost."""
    found = ending(worker, ledger, moments)
    assert found is None or not found[1]
    return found and found[0]


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
    assert found == [None] * (TICKS - 1) + [Over(HOLDER, late=False)]


LIMITS = st.integers(1, 10 * LEASE)


@given(LIMITS, st.integers(0, 20 * LEASE))
def test_who_gives_signs_of_life_is_late_once_its_limit_is_over_and_soon_after(
    limit: int, begins: int
) -> None:
    """Waiting for resources, however long, is no part of it."""
    found = ending(set(), set(), begins + limit + 10 * PERIOD, limit, begins)
    assert found is not None
    moment, late = found
    assert late
    assert limit <= moment - begins < limit + 2 * PERIOD


@given(LIMITS, PAUSES)
def test_a_limit_is_counted_in_time_that_the_ledger_has_lived(limit: int, pauses: Pauses) -> None:
    """Everything sleeps now and then: no sleep, however long, counts for more than one tick."""
    asleep = standing_still(pauses)
    found = ending(asleep, asleep, 3_000, limit)
    assert found is not None
    moment, late = found
    lived = moment + 1 - len(asleep & set(range(moment + 1)))
    assert late
    assert limit - PERIOD * len(pauses) <= lived <= limit + 2 * PERIOD


@given(SHORT, LIMITS)
def test_pauses_of_a_process_neither_end_it_early_nor_give_it_more_time(
    worker: Pauses, limit: int
) -> None:
    asleep = standing_still(worker)
    assert ending(asleep, set(), 3_000, limit) == ending(set(), set(), 3_000, limit)


@given(st.integers(1, 500), LIMITS)
def test_whichever_is_over_first_ends_a_computation(stops: int, limit: int) -> None:
    still = set(range(stops, 3_000))
    silent, late = ending(still, set(), 3_000), ending(set(), set(), 3_000, limit)
    assert silent is not None
    assert late is not None
    assert ending(still, set(), 3_000, limit) == min(silent, late)  # at one moment: silent


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
