"""Single-flight and reuse, decided without a cluster: properties over random event orders."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.stage_book import ATTEMPTS, Decision, Failure, StageBook

EVENTS = st.lists(
    st.tuples(st.sampled_from(["request", "finish", "fail"]), st.sampled_from("abc")), max_size=60
)


def test_the_first_computes_the_next_join_and_the_late_reuse() -> None:
    book = StageBook()
    assert book.request("dense", "a", stored=False) is Decision.COMPUTE
    assert book.request("dense", "a", stored=False) is Decision.JOIN
    book.finished("a")
    assert book.request("dense", "a", stored=True) is Decision.REUSE
    assert book.tally("dense") == {"reused": 1, "joined": 1, "computed": 1}


def test_after_a_failure_the_next_request_computes_again() -> None:
    book = StageBook()
    book.request("select", "a", stored=False)
    assert not book.failed("a", Failure.ERROR)
    assert book.failures["select"] == 1
    assert book.request("select", "a", stored=False) is Decision.COMPUTE


def test_a_computation_that_was_never_started_cannot_end() -> None:
    with pytest.raises(KeyError, match="a"):
        StageBook().finished("a")


@given(EVENTS)
def test_at_most_one_computation_of_a_key_is_in_flight(events: list[tuple[str, str]]) -> None:
    book, stored, running = StageBook(), set[str](), set[str]()
    computed = 0
    for event, key in events:
        if event == "request":
            decision = book.request("dense", key, stored=key in stored)
            if key in running:
                assert decision is Decision.JOIN
            elif key in stored:
                assert decision is Decision.REUSE
            else:
                assert decision is Decision.COMPUTE
                running.add(key)
                computed += 1
        elif key in running:
            running.remove(key)
            if event == "finish":
                book.finished(key)
                stored.add(key)
            else:
                assert not book.failed(key, Failure.ERROR)
        assert set(book.in_flight) == running
        assert book.running["dense"] == len(running)
    assert book.tally("dense")["computed"] == computed


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 30))
def test_without_failures_each_key_is_computed_exactly_once(
    seed: int, keys: int, requests: int
) -> None:
    order, book, stored = random.Random(seed), StageBook(), set[str]()
    for _ in range(requests):
        key = str(order.randrange(keys))
        book.request("dense", key, stored=key in stored)
        if order.random() < 0.5 and book.in_flight:
            done = order.choice(sorted(book.in_flight))
            book.finished(done)
            stored.add(done)
    asked = stored | set(book.in_flight)
    assert book.tally("dense")["computed"] == len(asked)


@pytest.mark.parametrize("why", [Failure.LOST, Failure.MEMORY, Failure.LATE])
def test_what_may_go_well_next_time_is_tried_again_a_few_times(why: Failure) -> None:
    book = StageBook()
    book.request("dense", "a", stored=False)
    for _ in range(ATTEMPTS[why] - 1):
        assert book.failed("a", why)
        assert book.request("dense", "a", stored=False) is Decision.JOIN
    assert not book.failed("a", why)
    assert (book.retries["dense"], book.failures["dense"]) == (ATTEMPTS[why] - 1, 1)
    assert book.request("dense", "a", stored=False) is Decision.COMPUTE
    assert book.failed("a", why)  # counted anew


def test_a_computation_that_nobody_wants_any_more_is_no_failure() -> None:
    book = StageBook()
    book.request("dense", "a", stored=False, who=1)
    book.request("dense", "a", stored=False, who=2)
    book.request("dense", "a", stored=False, who=2)  # asked again after a loss: waits once
    assert not book.left("a", 1)
    assert not book.left("a", 1)
    assert book.left("a", 2)
    assert (book.in_flight, book.failures["dense"]) == ({}, 0)
    assert not book.left("a", 2)
    assert book.request("dense", "a", stored=False) is Decision.COMPUTE


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "leave", "finish"]), st.integers(0, 3)), max_size=40)
)
def test_a_computation_goes_on_as_long_as_anybody_waits(events: list[tuple[str, int]]) -> None:
    book, waiting = StageBook(), set[int]()
    for event, who in events:
        if event == "ask":
            book.request("dense", "a", stored=False, who=who)
            waiting.add(who)
        elif event == "leave":
            last = waiting == {who}
            assert book.left("a", who) == last
            waiting.discard(who)
        elif waiting:
            book.finished("a")
            waiting.clear()
        assert bool(book.in_flight) == bool(waiting)
        assert book.running["dense"] == bool(waiting)
