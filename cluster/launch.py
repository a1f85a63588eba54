"""Launching a study, for the first time or again: it goes on where it was."""

import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray import tune

from cluster.coordinator import TrialCoordinator
from cluster.plan import Job, Plan, reconcile, settle
from cluster.replicate import StudyContext
from cluster.reporter import Reporter, best_so_far, duration, tally_lines, trial_line
from cluster.room import cluster_with_room
from cluster.search import ATTEMPTS, ErrorLog, LedgerSearch
from cluster.session import joins_cluster, slots
from cluster.shared_embeddings import share
from cluster.stage_ledger import start_ledger
from cluster.tokens import check_tokens, local_tokens, tokens_in_cluster
from cluster.trial_ledger import TrialLedger
from qpmstudy.errors import ConfigError
from qpmstudy.files import read_json, write_json
from qpmstudy.pipeline import STAGES
from storage.driver_lock import driver_lock
from storage.embeddings import EmbeddingStore
from storage.layout import StorageRoot, StudyFolder
from storage.prepare import ensure_store
from storage.reading import Reading
from storage.results import Row
from storage.study import StudySpec, differences
from storage.summary import Configuration, summarise

logger = logging.getLogger(__name__)

COORDINATOR_BYTES = 700e6  # what a process with torch and Ray occupies
EXTENDABLE = frozenset({"trials", "seeds"})
# may change at any time
NOT_THE_QUESTION = frozenset({"description", "stages", "parallel", "table"})


@dataclass(frozen=True)
class Outcome:
    """How a launch ended."""

    configurations: list[Configuration]
    unfinished: int  # trials that lost their coordinator; launching again goes on with them
    seconds: float


def launch(
    spec: StudySpec,
    root: StorageRoot,
    reporter: Reporter,
    extend: bool = False,
    retry_failed: bool = False,
    verbose: bool = False,
) -> Outcome:
    """Run what is left of a study and return what is known about it.

    Args:
        spec: the study.
        root: where everything is kept.
        reporter: told how far it is.
        extend: allow more trials or seeds than the study was launched with before.
        retry_failed: run the seeds that failed before once more.
        verbose: let Ray and Tune speak.

    Raises:
        ConfigError: the study was launched before with other content, another driver runs it,
            or a stage asks for resources that are not there.
        DataError: embeddings are missing or another dataset's, or memory holds not even the
            windows to stream them.
    """
    start = time.perf_counter()
    folder = root.study(spec.name)
    with driver_lock(folder.lock):
        _check_spec(spec, folder, extend)
        tokens = local_tokens(spec)
        if not joins_cluster():
            check_tokens(spec, tokens)
        stores = [ensure_store(root, *names, reporter.phase) for names in spec.stores()]
        write_json(folder.spec, spec.canonical())
        ledger = TrialLedger(folder.ledger, spec)
        plan = reconcile(spec, ledger, folder.results, retry_failed)
        reporter.line(_opening(spec, plan))
        for note in spec.notes():
            reporter.line(f"note: {note}")
        unfinished = 0
        if plan.jobs:
            run = _Run(spec, root, folder, ledger, plan, reporter, tokens, stores)
            unfinished = run.carry_out(verbose)
        else:
            reporter.line("nothing is left to do: no stage was run")
        configurations = summarise(folder.results.rows(), spec)
    return Outcome(configurations, unfinished, time.perf_counter() - start)


def _check_spec(spec: StudySpec, folder: StudyFolder, extend: bool) -> None:
    """Refuse a study of a known name that asks something else.

    The same name with other values would mix two questions in one table.
    """
    if not folder.spec.exists():
        return
    old, new = read_json(folder.spec), spec.canonical()
    changed = [
        line
        for line in differences(old, new)
        if line.partition(":")[0].partition(".")[0] not in NOT_THE_QUESTION
    ]
    if not changed:
        return
    grows = all(new[key] >= (old[key] or 0) for key in EXTENDABLE if new[key] is not None)
    only_more = {line.partition(":")[0] for line in changed} <= EXTENDABLE and grows
    if not (extend and only_more):
        listing = "\n".join(f"  - {line}" for line in changed)
        raise ConfigError(
            f"The study {spec.name!r} was launched before with other content:\n{listing}\n"
            "Give the new question a new name; or, to run more trials or seeds of the same one, "
            "change only those and add --extend."
        )


def _opening(spec: StudySpec, plan: Plan) -> str:
    runs = f"{spec.configurations} configurations x {spec.seeds} seeds"
    done = f", {plan.complete} of them done before" if plan.complete else ""
    return f"study {spec.name}: {runs}{done}; searching on the {spec.objective_split} split"


@dataclass
class _Run:
    """One launch with something to do."""

    spec: StudySpec
    root: StorageRoot
    folder: StudyFolder
    ledger: TrialLedger
    plan: Plan
    reporter: Reporter
    tokens: int  # that a local cluster offers
    stores: list[EmbeddingStore]
    _rows: list[Row] = field(default_factory=list)  # of every trial that has ended
    _stage_ledger: Any = None
    _running: int = 0
    _ended: int = 0
    _slots: int = 1
    _front: str = "no front yet"
    _snapshot: dict[str, Any] = field(default_factory=dict)

    def carry_out(self, verbose: bool) -> int:
        """Run the plan's jobs and return how many trials stayed unfinished."""
        self._rows = list(self.plan.rows)
        room = cluster_with_room(self.spec, self.stores, verbose, self.tokens)
        with room as reading, tempfile.TemporaryDirectory() as disposable:
            for line in reading.lines():
                self.reporter.line(line)
            context = self._context(reading)
            self._slots = slots(self.spec.resources("finetune"))
            for stage in STAGES:
                slots(self.spec.resources(stage))
            check_tokens(self.spec, tokens_in_cluster())
            trainable = tune.with_parameters(
                TrialCoordinator,
                context=context,
                base=self.spec.pipeline,
                parameters=self.spec.parameters,
            )
            search = LedgerSearch(self.spec, self.ledger, self.plan, self._on_start, self._on_end)
            tuner = tune.Tuner(
                # Memory alone: a coordinator that waits must hold no CPU or GPU.
                tune.with_resources(trainable, {"memory": COORDINATOR_BYTES}),
                tune_config=tune.TuneConfig(
                    search_alg=search,
                    num_samples=-1,  # until the search says that it is finished
                    max_concurrent_trials=self._parallel(),
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=self.spec.name,
                    storage_path=disposable,
                    verbose=2 if verbose else 0,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    callbacks=[ErrorLog()],
                ),
            )
            with self._moving():
                tuner.fit()
            self._snapshot = ray.get(self._stage_ledger.snapshot.remote(), timeout=60)
        for line in tally_lines(self._snapshot["tally"]):
            self.reporter.line(line)
            logger.info(line)
        for job in search.abandoned:
            self.reporter.line(
                f"trial {job.number} is unfinished: its coordinator died {ATTEMPTS} times, see "
                f"{self.folder.log}; launch again to go on with it"
            )
        return len(search.abandoned)

    def _context(self, reading: Reading) -> StudyContext:
        embeddings = {
            names: share(store.path, *names, reading.window(store))
            for names, store in zip(self.spec.stores(), self.stores, strict=True)
        }
        self._stage_ledger = start_ledger(self.root.artifacts, dict(self.spec.stages))
        return StudyContext(
            study=self.spec.name,
            root=str(self.root.path.resolve()),
            protocol=self.spec.protocol,
            split=self.spec.objective_split,
            embeddings=embeddings,
            ledger=self._stage_ledger,
        )

    def _parallel(self) -> int:
        """Return how many trials run at once: enough that no slot waits for the next one."""
        enough = -(-self._slots // self.spec.seeds) + 1
        return self.spec.parallel or min(enough, self.plan.jobs)

    def _on_start(self, job: Job) -> None:
        self._running += 1

    def _on_end(self, job: Job) -> Job | None:
        """Settle a job whose rows are all there; return what is left of one that is not."""
        self._running -= 1
        mine = self.folder.results.rows(job.number)
        missing = tuple(set(range(self.spec.seeds)) - {row["seed"] for row in mine})
        if missing:
            return replace(job, seeds=missing)
        settle(self.spec, self.ledger, job, mine)
        self._ended += 1
        self._rows = [*(row for row in self._rows if row["trial"] != job.number), *mine]
        configurations = summarise(self._rows, self.spec)
        self._front = best_so_far(configurations, self.spec)
        self._poll()
        (this,) = (c for c in configurations if c.trial == job.number)
        line = trial_line(this, self.spec)
        self.reporter.line(f"[{self._ended}/{self.plan.jobs}] {line}{self._left()}")
        logger.info(line)
        return None

    def _moving(self) -> AbstractContextManager[None]:
        status: Callable[[], str] = self._status
        return self.reporter.moving(status)

    def _status(self) -> str:
        if not self._poll():
            return "waiting for the cluster"
        tally, running = self._snapshot["tally"], self._snapshot["running"]
        shared = sum(counts["reused"] + counts["joined"] for counts in tally.values())
        computed = sum(counts["computed"] for counts in tally.values()) - sum(running.values())
        now = ", ".join(f"{count} {stage}" for stage, count in running.items()) or "none"
        return (
            f"trials: {self._ended}/{self.plan.jobs} done, {self._running} running{self._left()}\n"
            f"  stages: {now} running, {computed} computed, {shared} reused\n"
            f"  {self._front}"
        )

    def _poll(self) -> bool:
        """Ask the stage ledger how things stand; returns whether it answered."""
        try:
            self._snapshot = ray.get(self._stage_ledger.snapshot.remote(), timeout=5)
        except ray.exceptions.RayError:  # the display must never be what ends a study
            return False
        return True

    def _left(self) -> str:
        """Return an estimate of the time left: the runs to come at the mean cost of one."""
        seconds = self._snapshot.get("mean_seconds", {})
        if "finetune" not in seconds:
            return ""
        runs = (self.plan.jobs - self._ended) * self.spec.seeds
        cost = seconds["finetune"] + seconds.get("evaluate", 0.0)
        left = runs * cost / self._slots
        return f" | about {duration(left)} left" if left else ""
