"""One trial and seed: walk the stage graph, write events on the way, commit the row."""

import asyncio
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from cluster.stage_book import Decision
from cluster.stage_errors import EXCERPT, StageError
from cluster.stage_source import StageReport, StageRequest, StageSource
from cluster.trial_card import trial_card
from cluster.trial_events import TrialEvents
from qpmstudy.config import PipelineConfig, contradictions, flatten
from qpmstudy.embeddings import held_out
from qpmstudy.errors import ConfigError, QpmStudyError
from qpmstudy.stage_graph import STAGES, stage_keys
from storage.embeddings import EmbeddingStore
from storage.layout import StorageRoot, StudyFolder
from storage.overlays import overlay
from storage.provenance import command_line, provenance
from storage.results import schema
from storage.rows import stage_columns


@dataclass(frozen=True)
class StoreFacts:
    """What a trial must know of a store of embeddings besides its tokens."""

    fingerprint: str
    held_out: tuple[str, ...]
    image_root: str

    @classmethod
    def of(cls, store: EmbeddingStore) -> "StoreFacts":
        """Return what the store itself says."""
        attributes = store.attributes
        splits = held_out(attributes["split_names"])
        return cls(store.fingerprint, splits, attributes["image_root"])


@dataclass(frozen=True)
class StudyContext:
    """What every trial of a study has in common, wherever its stages come from."""

    study: str
    root: str
    protocol: str
    split: str  # that bare metric names are measured on
    stores: Mapping[tuple[str, str], StoreFacts]
    varied: tuple[str, ...] = ()  # paths of the values that the study varies
    pictures: int = 0  # trials that show one in TensorBoard: the first so many
    command: str = field(default_factory=command_line)  # of the driver, which makes the context

    @property
    def storage(self) -> StorageRoot:
        """Return the storage root."""
        return StorageRoot(Path(self.root))

    @property
    def folder(self) -> StudyFolder:
        """Return the folder of the study."""
        return self.storage.study(self.study)

    @property
    def held_out(self) -> tuple[str, ...]:
        """Return every split besides "train" that any store of the study has."""
        return held_out(name for store in self.stores.values() for name in store.held_out)

    def keys(self, config: PipelineConfig, seed: int) -> dict[str, str]:
        """Return the key of every stage of a replicate."""
        return stage_keys(config, self.store(config).fingerprint, seed)

    def store(self, config: PipelineConfig) -> StoreFacts:
        """Return what is known of the store that a configuration reads."""
        return self.stores[config.embeddings.dataset, config.embeddings.backbone]


async def run_trial(
    context: StudyContext,
    source: StageSource,
    trial: int,
    config: PipelineConfig,
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Run the seeds of a configuration side by side; each commits its own row."""
    runs = (run_replicate(context, source, trial, config, seed) for seed in seeds)
    return list(await asyncio.gather(*runs))


async def run_replicate(
    context: StudyContext, source: StageSource, trial: int, config: PipelineConfig, seed: int
) -> dict[str, Any]:
    """Run one pipeline and return its committed row; an error becomes a row with status FAIL.

    Raises:
        RayError, OSError: the cluster or its storage failed, not the pipeline: no row is
            committed, and what is left of the trial is dealt again.
    """
    keys = context.keys(config, seed)
    events = TrialEvents(context.folder.tensorboard, trial, seed)
    row: dict[str, Any] = {
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
    try:
        await _run(context, source, config, keys, row, events)
        events.session(flatten(config), complete=row["status"] == "COMPLETE")
        events.card(trial_card(row, context.varied, context.held_out))
    finally:
        events.close()
    row["committed"] = time.time()
    return context.folder.results.commit(row, schema(context.held_out))


async def _run(
    context: StudyContext,
    source: StageSource,
    config: PipelineConfig,
    keys: Mapping[str, str],
    row: dict[str, Any],
    events: TrialEvents,
) -> None:
    """Run the stages and enter what they gave into the row, or why they gave nothing."""
    try:
        problems = contradictions(config)
        if problems:
            raise ConfigError("; ".join(problems) + ".")
        reports = await _walk(context, source, config, keys, row["seed"], events)
        row |= {"status": "COMPLETE"} | _reported(reports)
        row |= stage_columns(context.storage.artifacts, keys, context.split)
        _figures(context, events, config, row, keys)
    except (RayError, OSError):
        raise
    except StageError as error:
        row |= {"status": "FAIL", "error": str(error), "error_log": error.excerpt or None}
    except QpmStudyError as error:
        row |= {"status": "FAIL", "error": str(error)}
    except Exception as error:  # a bug in one trial must not end the study; the row tells
        log = "".join(traceback.format_exception(error)[-EXCERPT:])
        row |= {"status": "FAIL", "error": f"{type(error).__name__}: {error}", "error_log": log}


async def _walk(
    context: StudyContext,
    source: StageSource,
    config: PipelineConfig,
    keys: Mapping[str, str],
    seed: int,
    events: TrialEvents,
) -> list[StageReport]:
    """Obtain every stage, each as soon as its inputs are there."""
    tasks: dict[str, asyncio.Task[StageReport]] = {}

    async def obtain(stage: str) -> StageReport:
        await asyncio.gather(*(tasks[name] for name in STAGES[stage].inputs))
        inputs = {name: keys[name] for name in STAGES[stage].inputs}
        request = StageRequest(stage, keys[stage], inputs, config, seed)
        report = await source.obtain(request, lambda records: events.epochs(stage, records))
        facts = context.storage.artifacts.facts(stage, keys[stage])
        history = facts.get("history", [])
        assert isinstance(history, list)
        events.epochs(stage, history[events.written(stage) :])
        return report

    for stage in keys:
        tasks[stage] = asyncio.create_task(obtain(stage))
    try:
        return list(await asyncio.gather(*tasks.values()))
    finally:
        for task in tasks.values():
            task.cancel()


def _reported(reports: list[StageReport]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for report in reports:
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
