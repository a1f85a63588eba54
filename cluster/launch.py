"""Launching a study, for the first time or again: it goes on where it was."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.budget import Budget, Spending
from cluster.cancelling import stopped_when_asked
from cluster.driver import StudyDriver
from cluster.plan import Plan, reconcile
from cluster.reporter import Reporter
from cluster.session import joins_cluster
from cluster.study_context import StoreFacts, StudyContext
from cluster.study_events import write_study_events
from cluster.study_machine import ATTEMPTS
from cluster.tables import CONTEXT
from cluster.tokens import check_tokens, local_tokens
from cluster.trial_ledger import TrialLedger
from cluster.tune_run import run_with_tune
from cluster.warm_start import observations
from qpmstudy.files import read_json, write_json
from storage.driver_lock import driver_lock
from storage.embeddings import EmbeddingStore
from storage.ensure import ensure_store
from storage.layout import StorageRoot
from storage.object_masks import check_masks
from storage.study import StudySpec
from storage.study.extension import check_changes
from storage.summary import Configuration, summarise

NO_BOUNDS = Budget()


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
    budget: Budget = NO_BOUNDS,
) -> Outcome:
    """Run what is left of a study and return what is known about it.

    Args:
        spec: the study.
        root: where everything is kept.
        reporter: told how far it is.
        extend: allow more trials or seeds than the study was launched with before.
        retry_failed: run the seeds that failed before once more.
        verbose: let Ray and Tune speak.
        budget: what this launch may spend; what is left then is for the next one.

    Raises:
        ConfigError: the study was launched before with other content, another driver runs it,
            a stage asks for resources that are not there, or the study asks for what needs
            object masks of a dataset that has none.
        DataError: a study to start from is unknown; embeddings are missing or another dataset's,
            or memory holds not even the windows to stream them.
    """
    start = time.perf_counter()
    folder = root.study(spec.name)
    with driver_lock(folder.lock), stopped_when_asked(folder):
        if folder.spec.exists():
            check_changes(read_json(folder.spec), spec, extend)
        known = observations(spec, root)
        tokens = local_tokens(spec)
        if not joins_cluster():
            check_tokens(spec, tokens)
        stores = [ensure_store(root, *names, reporter.phase) for names in spec.stores()]
        check_masks(spec, stores)
        write_json(folder.spec, spec.canonical())
        ledger = TrialLedger(folder.ledger, spec, known)
        spending = Spending(budget, time.monotonic())
        plan = reconcile(spec, ledger, folder.results, retry_failed, spending.over)
        reporter.line(_opening(spec, plan))
        for note in spec.notes():
            reporter.line(f"note: {note}")
        context = _context(spec, root, stores)
        write_study_events(folder.tensorboard, spec, context.held_out)
        driver = StudyDriver(spec, ledger, context, plan, reporter, spending)
        if driver.has_job():
            where = "joining the cluster" if joins_cluster() else "starting a local cluster"
            reporter.line(f"{where} ...")
            run_with_tune(driver, root, stores, tokens, verbose)
        elif not driver.ended and not plan.machine.stopped_early:
            reporter.line("nothing is left to do: no stage was run")
        _tell_what_is_left(driver)
        configurations = summarise(driver.rows(), spec, CONTEXT)
    unfinished = len(plan.machine.abandoned)
    return Outcome(configurations, unfinished, time.perf_counter() - start)


def _context(spec: StudySpec, root: StorageRoot, stores: Sequence[EmbeddingStore]) -> StudyContext:
    facts = map(StoreFacts.of, stores)
    return StudyContext(
        study=spec.name,
        root=str(root.path.resolve()),
        protocol=spec.protocol,
        split=spec.objective_split,
        stores=dict(zip(spec.stores(), facts, strict=True)),
        early_stopping=spec.early_stopping,
        varied=tuple(path for parameter in spec.parameters for path in parameter.paths),
        pictures=spec.tensorboard.images,
    )


def _tell_what_is_left(driver: StudyDriver) -> None:
    """Say why a launch ends before its study does, if so."""
    if driver.spending.said:
        driver.reporter.line(f"{driver.spending.said}: launch again to go on with what is left")
    for trial in sorted(driver.plan.machine.abandoned):
        driver.reporter.line(
            f"trial {trial} is unfinished: its coordinator died {ATTEMPTS} times, see "
            f"{driver.context.folder.log}; launch again to go on with it"
        )


def _opening(spec: StudySpec, plan: Plan) -> str:
    runs = f"{spec.configurations} configurations x {spec.seeds} seeds"
    done = f", {plan.complete} configurations done before" if plan.complete else ""
    done += f" ({len(plan.rows)} runs)" if done else ""
    return f"study {spec.name}: {runs}{done}; searching on the {spec.objective_split} split"
