"""One trial and seed: walk the stage graph, write events on the way, commit the row."""

import asyncio
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from cluster.rungs import Verdict
from cluster.stage_book import Decision
from cluster.stage_errors import EXCERPT, StageError
from cluster.stage_source import StageSource
from cluster.stage_walk import Progress, unless_stopped, walk
from cluster.study_context import StudyContext
from cluster.trial_card import trial_card
from cluster.trial_events import TrialEvents
from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.contradictions import contradictions
from qpmstudy.errors import ConfigError, QpmStudyError
from storage.overlays import overlay
from storage.provenance import provenance
from storage.results import schema
from storage.rows import stage_columns


async def run_trial(
    context: StudyContext,
    source: StageSource,
    trial: int,
    config: PipelineConfig,
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Run the seeds of a configuration side by side; each commits its own row."""
    verdict: asyncio.Future[Verdict] | None = None
    if context.early_stopping:
        verdict = asyncio.ensure_future(source.stopped(trial))
    runs = (run_replicate(context, source, trial, config, seed, verdict) for seed in seeds)
    try:
        return list(await asyncio.gather(*runs))
    finally:
        if verdict:
            verdict.cancel()


async def run_replicate(
    context: StudyContext,
    source: StageSource,
    trial: int,
    config: PipelineConfig,
    seed: int,
    verdict: asyncio.Future[Verdict] | None = None,
) -> dict[str, Any]:
    """Run one pipeline and return its committed row; an error becomes a row with status FAIL.

    Once there is a `verdict` the run leaves its stages, and its row has the status STOPPED.

    Raises:
        RayError, OSError: the cluster or its storage failed, not the pipeline: no row is
            committed, and what is left of the trial is dealt again.
    """
    keys = context.keys(config, seed)
    row = _opening(context, trial, config, seed, keys)
    events = TrialEvents(context.folder.tensorboard, trial, seed)
    try:
        await _run(context, source, config, keys, row, events, verdict)
        events.session(flatten(config), complete=row["status"] == "COMPLETE")
        events.card(trial_card(row, context.varied, context.held_out))
    finally:
        events.close()
    return _committed(context, row)


async def _run(
    context: StudyContext,
    source: StageSource,
    config: PipelineConfig,
    keys: Mapping[str, str],
    row: dict[str, Any],
    events: TrialEvents,
    verdict: asyncio.Future[Verdict] | None,
) -> None:
    """Run the stages and enter what they gave into the row, or why they gave nothing."""
    progress = Progress()
    try:
        problems = contradictions(config)
        if problems:
            raise ConfigError("; ".join(problems) + ".")
        walking = walk(context, source, row["trial"], config, keys, row["seed"], events, progress)
        if await unless_stopped(walking, verdict):
            row |= {"status": "COMPLETE"} | _reported(progress)
            row |= stage_columns(context.storage.artifacts, keys, context.split)
            _figures(context, events, config, row, keys)
        else:
            assert verdict is not None
            progress.leave(source)
            row |= _stopped(verdict.result()) | _reported(progress)
    except (RayError, OSError):
        raise
    except StageError as error:
        row |= {"status": "FAIL", "error": str(error), "error_log": error.excerpt or None}
    except QpmStudyError as error:
        row |= {"status": "FAIL", "error": str(error)}
    except Exception as error:  # a bug in one trial must not end the study; the row tells
        log = "".join(traceback.format_exception(error)[-EXCERPT:])
        row |= {"status": "FAIL", "error": f"{type(error).__name__}: {error}", "error_log": log}


def commit_stopped(
    context: StudyContext, config: PipelineConfig, seed: int, verdict: Verdict
) -> dict[str, Any]:
    """Commit the row of a run that was stopped and that nothing runs for any more.

    What is stored of it was computed by somebody else, as far as anybody knows.
    """
    keys = context.keys(config, seed)
    row = _opening(context, verdict.trial, config, seed, keys) | _stopped(verdict)
    for stage, key in keys.items():
        stored = context.storage.artifacts.peek(stage, key)
        if stored is not None:
            row |= {f"seconds.{stage}": float(stored["seconds"]), f"reused.{stage}": True}
    return _committed(context, row)


def _opening(
    context: StudyContext, trial: int, config: PipelineConfig, seed: int, keys: Mapping[str, str]
) -> dict[str, Any]:
    """Return what is known of a run before it began."""
    return {
        "study": context.study,
        "trial": trial,
        "seed": seed,
        "protocol": context.protocol,
        "split": context.split,
        **flatten(config),
        **{f"key.{stage}": key for stage, key in keys.items()},
        "fingerprint": context.store(config).fingerprint,
        "command": context.command,
        **provenance(),
    }


def _stopped(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": "STOPPED",
        "stopped_at": verdict.rung,
        "stopped_because": verdict.why,
    }


def _committed(context: StudyContext, row: dict[str, Any]) -> dict[str, Any]:
    row["committed"] = time.time()
    return context.folder.results.commit(row, schema(context.held_out))


def _reported(progress: Progress) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for report in progress.reports.values():
        columns[f"seconds.{report.stage}"] = report.seconds
        columns[f"reused.{report.stage}"] = report.decision is not Decision.COMPUTE
    return columns


def _figures(
    context: StudyContext,
    events: TrialEvents,
    config: PipelineConfig,
    row: Mapping[str, Any],
    keys: Mapping[str, str],
) -> None:
    """Write a complete run's metrics, and the picture of its trial if it is to have one."""
    numbers = {
        name: value
        for name, value in row.items()
        if isinstance(value, float) and "." not in name and name != "committed"
    }
    events.metrics(numbers)
    # One picture a trial, and not of every trial: more would fill TensorBoard's memory. Where
    # nothing is selected all features make no picture.
    if row["seed"] == 0 and row["trial"] < context.pictures and "evaluate" in keys:
        storage, images = context.storage, Path(context.store(config).image_root)
        drawn = overlay(storage.overlays, storage.artifacts, keys["evaluate"], images)
        events.overlay(drawn.content, drawn.height, drawn.width)
