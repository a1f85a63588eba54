"""The stage ledger: one actor through which every trial obtains its stages.

It decides with `StageBook`, computes with Ray tasks that hold their stage's resources and
nothing more, and so makes sure that a stage wanted by many trials is computed once.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.flight import Flight
from cluster.heartbeat import LedgerLine
from cluster.leases import SECONDS, Holder
from cluster.rung_desk import RungDesk
from cluster.rungs import Report, Verdict
from cluster.session import elsewhere, ray_options
from cluster.shared_embeddings import SharedEmbeddings
from cluster.stage_book import Decision, Failure, StageBook
from cluster.stage_errors import EndedError, StageError, failure, told
from cluster.stage_source import StageReport, StageRequest
from cluster.tokens import NO_TOKEN, tokens_for, tokens_in_cluster
from qpmstudy.stage_graph import STAGES
from storage.artifacts import ArtifactStore
from storage.study.spec import Resources

WAITING_REQUESTS = 100_000  # more than any study has in flight
PAUSE = {Failure.LOST: 1.0, Failure.MEMORY: 10.0, Failure.LATE: 1.0, Failure.STORAGE: 5.0}
"""Seconds before another attempt: others may have to give memory back first."""


@ray.remote(max_retries=0)  # the ledger decides, by what went wrong
def compute_stage(
    request: StageRequest,
    embeddings: SharedEmbeddings,
    artifacts: ArtifactStore,
    threads: int,
    withheld: Mapping[str, str],
    line: LedgerLine,
) -> float:
    """Run one stage, commit its result and return the seconds it took.

    `withheld` says which solvers may not be used here, and why. Committing twice leaves one result.
    """
    with line.beating():
        try:
            import torch

            from qpmstudy.pipeline import run_stage
        except KeyboardInterrupt:  # half of torch would stay, and fail the next stage here
            os._exit(1)
        torch.set_num_threads(threads)
        inputs = {name: artifacts.read(name, key) for name, key in request.inputs.items()}
        tokens = embeddings.get()
        # Whoever a ledger or driver that died had set to it may have ended while this one waited.
        stored = artifacts.manifest(request.stage, request.key)
        if stored is not None:
            return float(stored["seconds"])
        start = time.perf_counter()
        output = run_stage(
            request.stage,
            request.config,
            tokens,
            inputs,
            request.seed,
            on_epoch=line.note_epoch,
            withheld=withheld,
        )
        seconds = time.perf_counter() - start
        artifacts.write(request.stage, request.key, output, seconds)
        return seconds


class StageLedger:
    """Answers requests for stages; its methods interleave, so waiting blocks nobody else.

    To be started as an actor: `start_ledger`.
    """

    def __init__(
        self,
        artifacts_root: str,
        resources: dict[str, Resources],
        lease: float = SECONDS,
    ) -> None:
        """`lease` is how long a stage's process may give no sign of life (seconds)."""
        self._lease = lease
        self._artifacts = ArtifactStore(Path(artifacts_root))
        self._resources = resources
        self._book = StageBook()
        self._desk = RungDesk()
        self._computing: dict[str, asyncio.Task[float]] = {}  # what is in flight
        self._ending: dict[str, asyncio.Task[float]] = {}  # what nobody wants any more
        self._done: dict[str, float] = {}  # seconds of every key known to be stored
        self._epochs: dict[str, list[dict[str, float]]] = {}
        self._seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self._flights: dict[str, Flight] = {}  # by attempt
        self._endings: list[str] = []  # what is told of processes that were ended

    async def obtain(self, request: StageRequest, embeddings: SharedEmbeddings) -> StageReport:
        """Return once the result of a stage is stored.

        The references in `embeddings` come with each request: kept here, they would be lost
        with this actor, and Ray could not start it again.

        Raises:
            StageError: the stage failed for good; every trial that waited for it is told.
            StorageError: files could not be read or written.
        """
        key = request.key
        while key not in self._done:
            stored = await asyncio.to_thread(self._artifacts.manifest, request.stage, key)
            if stored is not None:
                self._done[key] = float(stored["seconds"])
            if key not in self._ending:
                break
            await asyncio.wait([self._ending[key]])  # it may yet be stored by that
        # Asked after the wait above: a computation may have been committed in the meantime.
        decision = self._book.request(request.stage, key, key in self._done, request.who)
        if decision is Decision.REUSE:
            return StageReport(request.stage, key, decision, self._done[key])
        if decision is Decision.COMPUTE:
            self._start(request, embeddings)
        # Shielded: a computation is nobody's own, and goes on when who asked first is gone.
        computing = self._computing[key]
        try:
            seconds = await asyncio.shield(computing)
        except asyncio.CancelledError:
            if not computing.cancelled():
                raise
            raise StageError(f"The stage {request.stage!r} is wanted by nobody.") from None
        return StageReport(request.stage, key, decision, seconds)

    async def leave(self, request: StageRequest) -> None:
        """Note that who asked for a stage wants it no more; stop it if nobody else does."""
        if self._book.left(request.key, request.who):
            task = self._ending[request.key] = self._computing.pop(request.key)
            task.add_done_callback(lambda _: self._ending.pop(request.key))
            task.cancel()

    def _start(self, request: StageRequest, embeddings: SharedEmbeddings) -> None:
        task = asyncio.create_task(self._compute(request, embeddings))
        # Nobody may be waiting any more when it fails; that is no unhandled error.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._computing[request.key] = task

    async def _compute(self, request: StageRequest, embeddings: SharedEmbeddings) -> float:
        """Have a stage computed and return its seconds; in any case it is in flight no more."""
        try:
            seconds = await self._computed(request, embeddings)
            self._book.finished(request.key)
            self._done[request.key] = seconds
            self._seconds[request.stage].append(seconds)
            return seconds
        finally:
            if request.key in self._book.in_flight:
                self._book.cancelled(request.key)
            self._computing.pop(request.key, None)
            self._epochs.pop(request.key, None)

    async def _computed(self, request: StageRequest, embeddings: SharedEmbeddings) -> float:
        """Have a stage computed, and again where what went wrong may go well the next time.

        Raises:
            StageError: it failed for good.
            StorageError: not the stage failed, but what its result is kept in.
        """
        limit, shunned = self._resources.get(request.stage, Resources()).limit_seconds, ""

        def submit(attempt: str) -> Any:
            return self._submit(request, embeddings, attempt, shunned)

        while True:
            flight = Flight(submit, self._lease, limit)
            self._flights[flight.attempt] = flight
            try:
                return await flight.result()
            except asyncio.CancelledError:
                await self._stop(flight)
                raise
            except Exception as error:
                why = failure(error)
                again = self._book.failed(request.key, why)
                if isinstance(error, EndedError):
                    shunned = error.holder.node
                    what = "the stage is computed again" if again else "the stage is given up"
                    self._endings.append(f"{request.stage}: {error}; {what}")
                if not again:
                    raise told(error, request.stage, why) from None
            finally:
                del self._flights[flight.attempt]
            self._epochs.pop(request.key, None)
            await asyncio.sleep(PAUSE[why])

    def _submit(
        self, request: StageRequest, embeddings: SharedEmbeddings, attempt: str, shunned: str
    ) -> Any:
        """Start the task, not on the node `shunned` if another is free."""
        resources = self._resources.get(request.stage, Resources())
        tokens = tokens_for(request.stage, request.config, resources)
        withheld = {}
        if tokens and resources.gurobi is None and not tokens_in_cluster():
            tokens, withheld = 0.0, {"gurobi": NO_TOKEN}
        return compute_stage.options(
            name=request.stage,
            # without this Tune would capture the task in the trial's own reservation
            scheduling_strategy=PlacementGroupSchedulingStrategy(placement_group=None),
            **ray_options(resources, tokens),
            **(elsewhere(shunned) if shunned else {}),
        ).remote(
            request,
            embeddings,
            self._artifacts,
            max(1, int(resources.cpu)),
            withheld,
            LedgerLine(ray.get_runtime_context().current_actor, request.key, attempt, self._lease),
        )

    async def _stop(self, flight: Flight) -> None:
        await flight.stop()

    async def beat(self, attempt: str, holder: Holder) -> None:
        """Note a sign of life of the process that computes a stage."""
        if attempt in self._flights:  # else it is one that this ledger never started
            self._flights[attempt].lease.beat(holder)

    async def note_epoch(self, key: str, record: dict[str, float]) -> None:
        """Keep the record of an epoch of a stage in flight."""
        self._epochs.setdefault(key, []).append(record)

    async def epochs(self, key: str, start: int) -> list[dict[str, float]]:
        """Return the records of a stage in flight from number `start` on."""
        return self._epochs.get(key, [])[start:]

    async def reached(self, report: Report) -> None:
        """Keep what a run is worth at a rung until the driver asks."""
        self._desk.leave(report)

    async def reports(self, verdicts: Sequence[Verdict]) -> list[Report]:
        """Take verdicts by which trials are stopped; return what was kept for the driver."""
        return self._desk.collect(verdicts)

    async def stopped(self, trial: int) -> Verdict | None:
        """Return the verdict by which a trial is stopped, or None after a while without one."""
        return await self._desk.wait(trial)

    async def snapshot(self) -> dict[str, Any]:
        """Return what the driver shows: tallies, stages in flight, mean seconds by stage."""
        return {
            "tally": {stage: self._book.tally(stage) for stage in STAGES},
            "running": {stage: count for stage, count in self._book.running.items() if count},
            "retries": dict(self._book.retries),
            "endings": list(self._endings),
            "mean_seconds": {
                stage: sum(seconds) / len(seconds)
                for stage, seconds in self._seconds.items()
                if seconds
            },
        }


def start_ledger(
    artifacts: ArtifactStore, resources: dict[str, Resources], lease: float = SECONDS
) -> Any:
    """Start the actor and return its handle; it holds no CPU.

    A stage whose process gives no sign of life for `lease` seconds is computed by another.

    Lost itself, it is started again and asked again: what it knew is in the artifact store.
    """
    actor = ray.remote(StageLedger).options(
        num_cpus=0,
        max_concurrency=WAITING_REQUESTS,
        max_restarts=-1,
        max_task_retries=-1,
    )
    return actor.remote(str(artifacts.root.resolve()), resources, lease)
