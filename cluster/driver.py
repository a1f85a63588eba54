"""One launch of a study: it carries out what the machine decides, and keeps the books.

Here a row is told to the ledger, a trial shown, a configuration dealt. Which process computes a
stage is another's business (`tune_run`): a trial whose stages are all stored needs none, and its
rows are committed on the spot.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cluster.budget import Spending
from cluster.plan import Plan, objectives, settle
from cluster.replicate import commit_stopped, run_trial
from cluster.reporter import Reporter, best_so_far, trial_line
from cluster.rungs import Report, Verdict
from cluster.running_front import RunningFront
from cluster.stage_source import StoredSource
from cluster.study_context import StudyContext
from cluster.study_machine import Deal, Finish, Start, Stop, Wait
from cluster.trial_ledger import TrialLedger
from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.contradictions import contradictions
from qpmstudy.files import refusal
from qpmstudy.stage_graph import STAGES
from storage.results import Row
from storage.study import StudySpec
from storage.study.space import settings
from storage.summary import summarise

logger = logging.getLogger(__name__)

STARTING = 5.0
"""Seconds after its start in which a replicate may not have asked for a stage yet."""


@dataclass(frozen=True)
class Job:
    """One trial and the seeds of it that are to be computed."""

    number: int
    chosen: Mapping[str, Any]
    seeds: tuple[int, ...]


@dataclass
class StudyDriver:
    """The books of a launch. Not for threads: who carries jobs out asks and reports in turn.

    Attributes:
        spec: the study.
        ledger: of trials.
        context: what every trial has in common.
        plan: what earlier launches left.
        reporter: told of every trial that ends.
        spending: what a budget is counted by.
        left: words on the time left, asked for each line.
    """

    spec: StudySpec
    ledger: TrialLedger
    context: StudyContext
    plan: Plan
    reporter: Reporter
    spending: Spending
    left: Callable[[], str] = lambda: ""
    ended: int = 0  # trials, in this launch
    verdicts: list[Verdict] = field(default_factory=list)  # to be told to those who run the trials
    _chosen: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _rows: dict[int, list[Row]] = field(default_factory=dict)  # by trial
    _starts: deque[tuple[float, int]] = field(default_factory=deque)
    _ready: Job | None = None  # asked for before anyone could carry it out

    def __post_init__(self) -> None:
        self._chosen = {trial.number: trial.chosen for trial in self.plan.trials}
        self.jobs = self.spec.configurations - self.plan.complete
        self._stored = StoredSource(self.context.storage.artifacts)
        self.front = RunningFront(self.spec, summarise(self.plan.rows, self.spec, metrics=()))
        for row in self.plan.rows:
            self._rows.setdefault(row["trial"], []).append(row)
            self._pass_rungs(row)

    @property
    def running(self) -> int:
        """Return how many replicates are being computed."""
        return self.plan.machine.running

    @property
    def fresh(self) -> int:
        """Return how many replicates started so recently that they may not have asked yet."""
        while self._starts and self._starts[0][0] < time.monotonic() - STARTING:
            self._starts.popleft()
        return sum(count for _, count in self._starts)

    def has_job(self) -> bool:
        """Return whether there is anything to compute, after committing all that is stored."""
        self._ready = self._ready or self.next_job()
        return self._ready is not None

    def next_job(self, room: Callable[[], bool] = lambda: True) -> Job | None:
        """Return what to compute next; None if nothing can be started now.

        Trials whose stages are stored are committed on the way.
        """
        if self._ready is not None:
            job, self._ready = self._ready, None
            return job
        machine = self.plan.machine
        while True:
            command = machine.next(time.monotonic(), room())
            if isinstance(command, Wait | Finish):
                return None
            if isinstance(command, Deal):
                dealt = self.ledger.deal()
                self._chosen[dealt.number] = dealt.chosen
                machine.dealt(dealt.number)
            elif isinstance(command, Stop):
                self._commit_stopped(command)
            else:
                job = self._without_stored(command)
                if machine.stopped(job.number):  # by what the stored seeds are worth
                    machine.ended(job.number, job.seeds)
                elif job.seeds:
                    self._starts.append((time.monotonic(), len(job.seeds)))
                    return job

    def reached(self, report: Report) -> None:
        """Enter what a run is worth at a rung; if its trial stops now, `verdicts` has why.

        That is recorded first: the launch after a kill finds the trial stopped.
        """
        rungs = self.plan.machine.rungs
        assert rungs is not None
        verdict = self.plan.machine.reached(report)
        if rungs.knows(report.trial, report.seed, report.rung):
            standing = rungs.standings[report.rung][report.trial]
            self.ledger.note_rung(report.trial, report.rung, standing)
        if verdict and verdict.stop:
            logger.info("trial %s stops at %s: %s", report.trial, report.rung, verdict.why)
            self.verdicts.append(verdict)

    def gone(self, job: Job) -> None:
        """Note that whoever carried out a job is gone: enter its rows; what lacks one is left."""
        rows = self.context.folder.results.of_seeds(job.number, job.seeds)
        self._enter([row for row in rows if row not in self.plan.stale])
        self.plan.machine.ended(job.number, job.seeds)

    def _without_stored(self, start: Start) -> Job:
        """Commit the seeds whose stages are all stored; return the others."""
        chosen, config = self._chosen[start.trial], self._config(start.trial)
        stored = [seed for seed in start.seeds if self._is_stored(config, seed)]
        if stored:
            run = run_trial(self.context, self._stored, start.trial, config, stored)
            with self._refusals():
                rows = asyncio.run(run)
            self._enter(rows)
        rest = tuple(seed for seed in start.seeds if seed not in stored)
        return Job(start.trial, chosen, rest)

    def _commit_stopped(self, stop: Stop) -> None:
        config = self._config(stop.trial)
        with self._refusals():
            rows = [commit_stopped(self.context, config, s, stop.verdict) for s in stop.seeds]
        self._enter(rows)

    def _config(self, trial: int) -> PipelineConfig:
        chosen = settings(self.spec.parameters, self._chosen[trial])
        return with_values(self.spec.pipeline, chosen)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # of an open file, which does not say which one it is
            raise refusal(error, self.context.folder.path) or error from error

    def _pass_rungs(self, row: Row) -> None:
        """Enter a run that is complete and did not say itself what it is worth at the rungs."""
        rungs = self.plan.machine.rungs
        trial, seed = row["trial"], row["seed"]
        if rungs is None or row["status"] != "COMPLETE" or seed >= self.spec.seeds.min:
            return
        if all(rungs.knows(trial, seed, label) for label in rungs.standings):
            return
        keys = {stage: row[f"key.{stage}"] for stage in STAGES}
        figures, artifacts = self.context.rung_figures, self.context.storage.artifacts
        for report in figures.of_stored(artifacts, trial, seed, keys):
            self.reached(report)

    def _is_stored(self, config: PipelineConfig, seed: int) -> bool:
        # what contradicts itself has no stages: its row says so, and needs nothing
        return bool(contradictions(config)) or self._stored.has(self.context.keys(config, seed))

    def _enter(self, rows: Sequence[Row]) -> None:
        for row in rows:
            trial = row["trial"]
            mine = self._rows.setdefault(trial, [])
            mine[:] = [*(one for one in mine if one["seed"] != row["seed"]), row]
            whole = self.plan.machine.row(trial, row["seed"], objectives(row, self.spec))
            if whole:
                settle(self.spec, self.ledger, trial, mine)
                self._show(trial, mine)
            elif row["seed"] >= self.spec.seeds.min:  # one more than the first ones
                self._show(trial, mine, more=True)
            self._pass_rungs(row)

    def _show(self, trial: int, rows: Sequence[Row], more: bool = False) -> None:
        self.ended += not more
        (this,) = summarise(rows, self.spec, metrics=())
        line = trial_line(self.front.enter(this), self.spec)
        count = f"{len(rows)} seeds" if more else f"{self.ended}/{self.jobs}"
        self.reporter.line(f"[{count}] {line}{self.left()}")
        logger.info(line)

    def rows(self) -> list[Row]:
        """Return every committed row, those of earlier launches included."""
        return [row for rows in self._rows.values() for row in rows]

    def best(self) -> str:
        """Return the ends of the front so far in words."""
        return best_so_far(self.front.members, self.spec)
