"""Walking the stage graph of one run: every stage as soon as its inputs are there."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.rungs import Verdict
from cluster.stage_source import Records, StageReport, StageRequest, StageSource
from cluster.study_context import StudyContext
from cluster.trial_events import TrialEvents
from qpmstudy.config import PipelineConfig
from qpmstudy.stage_graph import STAGES


@dataclass
class Progress:
    """How far a run is: what it has asked for and what it has obtained, by stage."""

    asked: dict[str, StageRequest] = field(default_factory=dict)
    reports: dict[str, StageReport] = field(default_factory=dict)

    def leave(self, source: StageSource) -> None:
        """Wait no more for what it has asked for."""
        for stage in self.asked.keys() - self.reports.keys():
            source.leave(self.asked[stage])


async def unless_stopped(
    walking: Coroutine[Any, Any, None], verdict: asyncio.Future[Verdict] | None
) -> bool:
    """Await a walk and return True, or leave it and return False as soon as there is a verdict."""
    if verdict is None:
        await walking
        return True
    task = asyncio.create_task(walking)
    either: tuple[asyncio.Future[Any], ...] = (task, verdict)
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not task.done() and verdict.exception() is None:
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            return False
    await task  # without the ledger there is no verdict, nor any stage
    return True


async def walk(
    context: StudyContext,
    source: StageSource,
    trial: int,
    config: PipelineConfig,
    keys: Mapping[str, str],
    seed: int,
    events: TrialEvents,
    progress: Progress,
) -> None:
    """Obtain every stage, each as soon as its inputs are there, and enter it in `progress`.

    What the run is worth at a rung is told as soon as it is known. No stage waits for what comes
    of it: until then it is as likely as not that the trial goes on.
    """
    tasks: dict[str, asyncio.Task[None]] = {}
    figures = context.rung_figures

    def passed(stage: str, records: Records) -> None:
        events.epochs(stage, records)
        for report in figures.of_epochs(trial, seed, stage, records):
            source.reached(report)

    async def obtain(stage: str) -> None:
        await asyncio.gather(*(tasks[name] for name in STAGES[stage].inputs))
        inputs = {name: keys[name] for name in STAGES[stage].inputs}
        request = progress.asked[stage] = StageRequest(
            stage, keys[stage], inputs, config, seed, trial
        )
        progress.reports[stage] = await source.obtain(
            request, lambda records: passed(stage, records)
        )
        facts = context.storage.artifacts.facts(stage, keys[stage])
        history = facts.get("history", [])
        assert isinstance(history, list)
        passed(stage, history[events.written(stage) :])
        for report in figures.of_facts(trial, seed, stage, facts):
            source.reached(report)

    for stage in keys:
        tasks[stage] = asyncio.create_task(obtain(stage))
    try:
        await asyncio.gather(*tasks.values())
    finally:
        for task in tasks.values():
            task.cancel()
