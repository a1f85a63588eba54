"""Where a trial's stages come from: a cluster's ledger of stages, or the store alone."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray.exceptions import RayTaskError

from cluster.rungs import Report, Verdict
from cluster.shared_embeddings import SharedEmbeddings
from cluster.stage_book import Decision
from qpmstudy.config import PipelineConfig
from storage.artifacts import ArtifactStore

EPOCH_POLL_SECONDS = 2.0
Records = list[dict[str, float]]


@dataclass(frozen=True)
class StageRequest:
    """One stage of one pipeline run, with the keys of its inputs."""

    stage: str
    key: str
    inputs: Mapping[str, str]  # stage name -> key
    config: PipelineConfig
    seed: int
    trial: int = 0

    @property
    def who(self) -> tuple[int, int]:
        """Return who asks: one run of a study asks for a stage once."""
        return self.trial, self.seed


@dataclass(frozen=True)
class StageReport:
    """How a request was answered."""

    stage: str
    key: str
    decision: Decision
    seconds: float  # that its computation took, whenever that was


class StageSource(Protocol):
    """Whoever can be asked for a stage, and told how far a run is."""

    async def obtain(
        self, request: StageRequest, on_epochs: Callable[[Records], None]
    ) -> StageReport:
        """Return once the stage is stored; `on_epochs` hears of epochs on the way.

        Raises:
            StageError: the stage failed.
        """

    def leave(self, request: StageRequest) -> None:
        """Wait no more for a stage that was asked for."""

    def reached(self, report: Report) -> None:
        """Pass on what a run is worth at a rung, without waiting for what comes of it."""

    async def stopped(self, trial: int) -> Verdict:
        """Return once a trial is to be stopped, which may never be."""


@dataclass(frozen=True)
class LedgerSource:
    """A cluster computes what is missing."""

    ledger: Any  # handle of the StageLedger actor
    embeddings: Mapping[tuple[str, str], SharedEmbeddings]

    async def obtain(
        self, request: StageRequest, on_epochs: Callable[[Records], None]
    ) -> StageReport:
        """Ask the ledger, and poll it for the epochs of what it computes."""
        names = request.config.embeddings
        store = self.embeddings[names.dataset, names.backbone]
        reply = asyncio.ensure_future(_answer(self.ledger.obtain.remote(request, store)))
        seen = 0
        while not (await asyncio.wait([reply], timeout=EPOCH_POLL_SECONDS))[0]:
            records: Records = await self.ledger.epochs.remote(request.key, seen)
            seen += len(records)
            on_epochs(records)
        return await reply

    def leave(self, request: StageRequest) -> None:
        """Tell the ledger, which stops what nobody else waits for."""
        self.ledger.leave.remote(request)

    def reached(self, report: Report) -> None:
        """Leave it with the ledger, where the driver asks for it."""
        self.ledger.reached.remote(report)

    async def stopped(self, trial: int) -> Verdict:
        """Ask the ledger, which has it from the driver; it answers after a while in any case."""
        verdict: Verdict | None = None
        while verdict is None:
            verdict = await self.ledger.stopped.remote(trial)
        return verdict


async def _answer(reference: Any) -> StageReport:
    """Await the ledger's answer; an error comes back as itself, without Ray's traceback."""
    try:
        report: StageReport = await reference
    except RayTaskError as error:
        raise error.cause from None
    return report


@dataclass(frozen=True)
class StoredSource:
    """The store alone: nothing is computed. `seconds` keeps what has been found intact, by key."""

    artifacts: ArtifactStore
    seconds: dict[str, float] = field(default_factory=dict)

    def has(self, keys: Mapping[str, str]) -> bool:
        """Return whether all these stages are stored, undamaged; of each key that is read once."""
        for stage, key in keys.items():
            if key not in self.seconds:
                manifest = self.artifacts.manifest(stage, key)
                if manifest is None:
                    return False
                self.seconds[key] = float(manifest["seconds"])
        return True

    async def obtain(
        self, request: StageRequest, on_epochs: Callable[[Records], None]
    ) -> StageReport:
        """Return that the stage is stored, which `has` must have said."""
        seconds = self.seconds[request.key]
        return StageReport(request.stage, request.key, Decision.REUSE, seconds)

    def leave(self, request: StageRequest) -> None:
        """Do nothing: nothing is computed."""

    def reached(self, report: Report) -> None:
        """Say nothing: the driver looks up what a run is worth whose stages are all stored."""

    async def stopped(self, trial: int) -> Verdict:
        """Wait for ever: what costs nothing is not stopped."""
        return await asyncio.Future()
