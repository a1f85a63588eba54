"""Where a trial's stages come from: a cluster's ledger of stages, or the store alone."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray.exceptions import RayTaskError

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


@dataclass(frozen=True)
class StageReport:
    """How a request was answered."""

    stage: str
    key: str
    decision: Decision
    seconds: float  # that its computation took, whenever that was


class StageSource(Protocol):
    """Whoever can be asked for a stage."""

    async def obtain(
        self, request: StageRequest, on_epochs: Callable[[Records], None]
    ) -> StageReport:
        """Return once the stage is stored; `on_epochs` hears of epochs on the way.

        Raises:
            StageError: the stage failed.
        """


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
                self.seconds[key] = float(str(manifest["seconds"]))
        return True

    async def obtain(
        self, request: StageRequest, on_epochs: Callable[[Records], None]
    ) -> StageReport:
        """Return that the stage is stored, which `has` must have said."""
        seconds = self.seconds[request.key]
        return StageReport(request.stage, request.key, Decision.REUSE, seconds)
