"""What launching a study would do, before anything runs: its stages, what is stored, the cost.

A grid is counted exactly, unless its results decide which runs there are. What another sampler will
propose nobody knows: its counts are bounds, from the parameters that a stage depends on.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.files import read_json
from qpmstudy.stage_graph import STAGES, stage_keys
from storage.artifacts import ArtifactStore
from storage.embeddings import EmbeddingStore
from storage.history import BASES, History, read_history, sections
from storage.layout import StorageRoot
from storage.object_masks import check_masks
from storage.results import Row
from storage.store_forecast import StoreForecast, memory_words, opened, store_forecast
from storage.study import Parameter, StudySpec, grid
from storage.study.durations import words
from storage.study.extension import check_changes
from storage.study.space import settings, values_in
from storage.summary import belongs

_Point = tuple[tuple[str, Any], ...]
ENUMERATED = 512
"""Combinations of values that are looked up one by one for a bound."""


@dataclass(frozen=True)
class StageForecast:
    """How often a stage will run.

    Attributes:
        distinct: results that the runs to come need; a bound unless the study is a grid.
        stored: how many of them are in the store.
        compute: how many have to be computed.
        seconds: what that takes in all, one after another; None without any history.
        basis: what the estimate rests on, in words.
    """

    stage: str
    distinct: int
    stored: int
    compute: int
    seconds: float | None
    basis: str


@dataclass(frozen=True)
class Forecast:
    """What a launch would do."""

    study: str
    sampler: str
    extends: bool  # more than was launched before: the launch needs --extend
    exact: bool  # else every count of runs and stages is an upper bound
    configurations: int
    seeds: str  # "3", or "2 to 10"
    done: int  # runs with a row
    runs: int  # to come
    stages: tuple[StageForecast, ...]
    late: tuple[str, ...]  # which stages would not be done within their time limits, in words
    stores: tuple[StoreForecast, ...]
    memory: tuple[str, ...]  # how the embeddings that are there will be read, in words

    @property
    def seconds(self) -> float | None:
        """Return what all stages to compute take one after another; None where one is unknown."""
        known = [stage.seconds for stage in self.stages if stage.compute]
        return None if None in known else math.fsum(s for s in known if s is not None)


@dataclass(frozen=True)
class _Wanted:
    """One result of a stage, and a configuration that leads to it."""

    key: str
    config: PipelineConfig
    fingerprint: str


def forecast(spec: StudySpec, root: StorageRoot) -> Forecast:
    """Return what launching a study would do. Nothing is written, no image or shard is read.

    That a result is stored is told by its manifest alone: a damaged one is found by the launch.

    Raises:
        ConfigError: the study asks for what needs object masks of a dataset that has none, or a
            study of its name was launched with other content.
        DataError: a row under the root is damaged.
        StoreError: the URL of the embeddings cannot be reached.
    """
    folder = root.study(spec.name)
    extends = folder.spec.exists() and check_changes(read_json(folder.spec), spec, extend=True)
    rows = folder.results.rows(remember=False)
    found = {names: opened(root, *names) for names in spec.stores()}
    check_masks(spec, [store for store in found.values() if isinstance(store, EmbeddingStore)])
    history, artifacts = read_history(root), root.artifacts
    marks = {
        names: store.fingerprint if isinstance(store, EmbeddingStore) else f"missing {names}"
        for names, store in found.items()
    }
    done, runs = _runs(spec, rows)
    if spec.sampler == "grid":
        stages = tuple(_counted(_keys(runs, marks), artifacts, history))
    else:
        done = min(len(rows), spec.configurations * spec.seeds.max)
        stages = tuple(_bounded(spec, marks, artifacts, history))
    return Forecast(
        study=spec.name,
        sampler=spec.sampler,
        extends=extends,
        exact=spec.sampler == "grid" and not spec.seeds.adaptive and not spec.early_stopping,
        configurations=spec.configurations,
        seeds=str(spec.seeds),
        done=done,
        runs=spec.configurations * spec.seeds.max - done,
        stages=stages,
        late=tuple(_late(spec, stages)),
        stores=tuple(store_forecast(root, *names, store) for names, store in found.items()),
        memory=memory_words(
            [store for store in found.values() if isinstance(store, EmbeddingStore)]
        ),
    )


def _runs(
    spec: StudySpec, rows: Sequence[Row]
) -> tuple[int, list[tuple[PipelineConfig, list[int]]]]:
    """Return how many runs of a grid have a row, and each configuration with its other seeds."""
    if spec.sampler != "grid":
        return 0, []
    known: dict[_Point, list[Row]] = {}
    for row in rows:  # not by trial: values that were added later were dealt later
        known.setdefault(_point(values_in(spec.parameters, row)), []).append(row)
    runs, done = [], 0
    for chosen in grid(spec.parameters):
        ended = {r["seed"] for r in known.get(_point(chosen), ()) if belongs(r, spec, chosen)}
        left = [seed for seed in range(spec.seeds.max) if seed not in ended]
        done += spec.seeds.max - len(left)
        runs.append((with_values(spec.pipeline, settings(spec.parameters, chosen)), left))
    return done, runs


def _point(chosen: Mapping[str, Any]) -> _Point:
    return tuple(sorted(chosen.items()))


def _keys(
    runs: Iterable[tuple[PipelineConfig, Iterable[int]]], marks: dict[tuple[str, str], str]
) -> dict[str, dict[str, _Wanted]]:
    """Return the results that runs need, by stage and key."""
    wanted: dict[str, dict[str, _Wanted]] = {stage: {} for stage in STAGES}
    for config, seeds in runs:
        mark = marks[config.embeddings.dataset, config.embeddings.backbone]
        for seed in seeds:
            for stage, key in stage_keys(config, mark, seed).items():
                wanted[stage].setdefault(key, _Wanted(key, config, mark))
    return wanted


def _counted(
    wanted: dict[str, dict[str, _Wanted]], artifacts: ArtifactStore, history: History
) -> Iterator[StageForecast]:
    for stage, results in wanted.items():
        missing = [one for key, one in results.items() if artifacts.peek(stage, key) is None]
        if results:
            stored = len(results) - len(missing)
            seconds, basis = _cost(stage, missing, len(missing), history)
            yield StageForecast(stage, len(results), stored, len(missing), seconds, basis)


def _bounded(
    spec: StudySpec, marks: dict[tuple[str, str], str], artifacts: ArtifactStore, history: History
) -> Iterator[StageForecast]:
    """Yield bounds: never more results of a stage than values of what it depends on allow."""
    for stage in STAGES:
        deciding = _deciding(spec.parameters, stage)
        counts = [parameter.count() for parameter in deciding]
        combinations = math.prod(c for c in counts if c is not None)
        bound = spec.configurations
        known: dict[str, _Wanted] = {}
        if None not in counts:
            bound = min(bound, combinations)
        if None not in counts and combinations <= ENUMERATED:
            configs = (
                with_values(spec.pipeline, settings(deciding, chosen)) for chosen in grid(deciding)
            )
            known = _keys(((c, range(spec.seeds.max)) for c in configs), marks)[stage]
            bound = min(bound, -(-len(known) // spec.seeds.max))
        missing = [one for key, one in known.items() if artifacts.peek(stage, key) is None]
        distinct = bound * spec.seeds.max
        compute = min(distinct, len(missing)) if known else distinct
        if not distinct:
            continue
        mark = next(iter(marks.values()))
        like = missing or [_Wanted("", spec.pipeline, mark)]
        seconds, basis = _cost(stage, like, compute, history)
        yield StageForecast(stage, distinct, len(known) - len(missing), compute, seconds, basis)


def _deciding(parameters: Sequence[Parameter], stage: str) -> list[Parameter]:
    """Return the parameters that a stage depends on, and those that decide whether they vary."""
    names: set[str] = set()
    for parameter in reversed(parameters):  # conditions name what stands above
        sets = {path.partition(".")[0] for path in parameter.paths}
        if parameter.name in names or sets & sections(stage):
            names |= {parameter.name, *parameter.when}
    return [parameter for parameter in parameters if parameter.name in names]


def _cost(
    stage: str, wanted: Sequence[_Wanted], count: int, history: History
) -> tuple[float | None, str]:
    """Return the seconds of `count` results like those wanted, and what that rests on."""
    guesses = [history.guess(stage, one.config, one.fingerprint) for one in wanted]
    known = [guess for guess in guesses if guess is not None]
    if not count:
        return 0.0, "nothing to compute"
    if not known:
        return None, "no history: none was computed under this root"
    mean = math.fsum(guess.seconds for guess in known) / len(known)
    least = max(known, key=lambda guess: BASES.index(guess.basis))
    return mean * count, f"{mean:.3g} s each, from {least.of} with {least.basis}"


def _late(spec: StudySpec, stages: Iterable[StageForecast]) -> Iterator[str]:
    for one in stages:
        limit = spec.resources(one.stage).limit_seconds
        takes = (one.seconds or 0.0) / max(1, one.compute)
        if takes > limit:
            yield (
                f"{one.stage} would be ended at its time limit of {words(limit)}, as it takes "
                f"{takes:.3g} s on average: raise stages.{one.stage}.time_limit"
            )


def forecast_json(found: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON types; sizes in bytes."""
    return {
        **{name: value for name, value in vars(found).items() if name not in ("stages", "stores")},
        "seconds": found.seconds,
        "stages": [vars(stage) for stage in found.stages],
        "stores": [vars(store) for store in found.stores],
    }
