"""Stages in flight: who asked for one may be gone before it is stored. No cluster, no clock."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.flight import Flight
from cluster.leases import Holder
from cluster.shared_embeddings import SharedEmbeddings
from cluster.stage_book import Decision
from cluster.stage_errors import LateError, StageError
from cluster.stage_ledger import StageLedger
from cluster.stage_source import StageReport, StageRequest
from qpmstudy.config import PipelineConfig

NOTHING = SharedEmbeddings((Path("/nonexistent"), "", ""), None, ())
SECONDS = 3.5


def request(key: str = "a") -> StageRequest:
    return StageRequest("dense", key * 64, {}, PipelineConfig(), 0)


class Inline(StageLedger):
    """The ledger with computations that end when the test says so."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root), {})
        self.begun: list[asyncio.Future[float]] = []
        self.shunned: list[str] = []

    def _submit(
        self, request: StageRequest, embeddings: SharedEmbeddings, attempt: str, shunned: str
    ) -> Any:
        self.shunned.append(shunned)
        self.begun.append(asyncio.get_running_loop().create_future())
        return self.begun[-1]

    async def _stop(self, flight: Flight) -> None:
        flight.running.cancel()

    def ask(self, key: str = "a") -> "asyncio.Task[StageReport]":
        return asyncio.create_task(self.obtain(request(key), NOTHING))

    async def until_begun(self, count: int) -> None:
        while len(self.begun) < count:
            await asyncio.sleep(0.001)


def test_who_asked_first_may_go_and_the_others_get_what_they_wait_for(tmp_path: Path) -> None:
    async def scene() -> None:
        ledger = Inline(tmp_path)
        first = ledger.ask()
        await ledger.until_begun(1)
        second = ledger.ask()
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert not ledger.begun[0].cancelled()  # what runs goes on
        ledger.begun[0].set_result(SECONDS)
        report = await asyncio.wait_for(second, 10)
        assert (report.decision, report.seconds) == (Decision.JOIN, SECONDS)
        assert (await ledger.snapshot())["running"] == {}
        assert (await ledger.ask()).decision is Decision.REUSE

    asyncio.run(scene())


def test_a_computation_nobody_waits_for_is_stored_all_the_same(tmp_path: Path) -> None:
    async def scene() -> None:
        ledger = Inline(tmp_path)
        only = ledger.ask()
        await ledger.until_begun(1)
        only.cancel()
        await asyncio.wait([only])
        ledger.begun[0].set_result(SECONDS)
        await asyncio.sleep(0)
        report = await asyncio.wait_for(ledger.ask(), 10)
        assert (report.decision, report.seconds) == (Decision.REUSE, SECONDS)

    asyncio.run(scene())


def test_a_computation_that_is_stopped_is_told_to_all_and_begun_anew_for_the_next(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        ledger = Inline(tmp_path)
        waiting = [ledger.ask()]
        await ledger.until_begun(1)
        waiting.append(ledger.ask())
        await asyncio.sleep(0.05)
        ledger.begun[0].cancel()
        done, still = await asyncio.wait(waiting, timeout=10)
        assert (len(done), still) == (2, set())
        assert (await ledger.snapshot())["running"] == {}
        again = ledger.ask()
        await ledger.until_begun(2)
        ledger.begun[1].set_exception(ValueError("shapes"))
        with pytest.raises(StageError, match="ValueError: shapes"):
            await asyncio.wait_for(again, 10)

    asyncio.run(scene())


def test_a_stage_that_is_late_is_tried_once_more_and_not_where_it_was(tmp_path: Path) -> None:
    async def scene() -> None:
        ledger = Inline(tmp_path)
        asked = ledger.ask()
        for attempt, node in enumerate(("first", "second"), 1):
            await ledger.until_begun(attempt)
            late = LateError(Holder(node, f"host of the {node}", 7), 7200.0)
            ledger.begun[-1].set_exception(late)
        with pytest.raises(StageError, match=r"given up after 2 attempts.* on host of the second "):
            await asyncio.wait_for(asked, 10)
        assert ledger.shunned == ["", "first"]
        again, given_up = (await ledger.snapshot())["endings"]
        assert again == (
            "dense: process 7 on host of the first was not done after its time limit of 2h and was "
            "ended; the stage is computed again"
        )
        assert given_up.endswith("; the stage is given up")

    asyncio.run(scene())


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "go", "store", "raise", "stop"]), st.integers(0, 5)),
    max_size=25,
)


@given(STEPS)
def test_whatever_goes_nobody_waits_for_ever(steps: list[tuple[str, int]]) -> None:
    """Askers go, computations end in every way: in the end nothing is in flight, none waits."""

    async def scene() -> None:
        ledger = Inline(Path("/nonexistent"))
        asked: list[asyncio.Task[StageReport]] = []
        for step, which in steps:
            running = [one for one in ledger.begun if not one.done()]
            if step == "ask":
                asked.append(ledger.ask("ab"[which % 2]))
            elif step == "go" and asked:
                asked[which % len(asked)].cancel()
            elif running:
                chosen = running[which % len(running)]
                end = {
                    "store": lambda one: one.set_result(SECONDS),
                    "raise": lambda one: one.set_exception(ValueError("shapes")),
                    "stop": lambda one: one.cancel(),
                }.get(step)
                if end:
                    end(chosen)
            for _ in range(3):
                await asyncio.sleep(0)
        while any(not one.done() for one in asked) or (await ledger.snapshot())["running"]:
            for one in ledger.begun:
                if not one.done():
                    one.set_result(SECONDS)
            await asyncio.wait_for(asyncio.sleep(0.001), 10)
        for one in asked:
            if not one.cancelled():
                assert one.exception() is None or isinstance(one.exception(), StageError)

    asyncio.run(scene())
