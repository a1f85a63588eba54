"""Carrying out a driver's jobs with Ray Tune: a trial coordinates one of them on the cluster."""

import logging
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray import tune

from cluster.coordinator import TrialCoordinator
from cluster.demand import Demand
from cluster.driver import StudyDriver
from cluster.leases import lease_seconds
from cluster.pace import duration
from cluster.reporter import tally_lines
from cluster.room import cluster_with_room
from cluster.rungs import Verdict
from cluster.search import DriverSearch, ErrorLog, OftenAsked
from cluster.session import joins_cluster, pools, slots
from cluster.shared_embeddings import share
from cluster.stage_ledger import start_ledger
from cluster.stage_source import LedgerSource
from cluster.tokens import check_tokens, tokens_in_cluster
from cluster.versions import check_nodes
from qpmstudy.stage_graph import STAGES
from storage.embeddings import EmbeddingStore
from storage.layout import StorageRoot
from storage.reading import Reading

logger = logging.getLogger(__name__)

COORDINATOR_BYTES = 700e6  # what a process with torch and Ray occupies
POLL_SECONDS = 0.5


def run_with_tune(
    driver: StudyDriver,
    root: StorageRoot,
    stores: Sequence[EmbeddingStore],
    tokens: int,
    verbose: bool,
) -> None:
    """Run everything that is left, on a local cluster or on the one at RAY_ADDRESS.

    Args:
        driver: says what is left, and hears how it ended.
        root: where stage results are kept.
        stores: the embeddings that the study reads.
        tokens: Gurobi tokens that a local cluster offers.
        verbose: let Ray and Tune speak.

    Raises:
        ConfigError: a stage asks for resources that are not there, a node differs from this
            machine in code, libraries or what it sees of the storage root, or QPMSTUDY_LEASE is
            no time.
        DataError: memory holds not even the windows to stream the stores.
    """
    spec, lease = driver.spec, lease_seconds()
    room = cluster_with_room(spec, stores, verbose, tokens)
    with room as reading, tempfile.TemporaryDirectory() as disposable:
        if joins_cluster():
            for line in check_nodes(root.path):
                logger.warning(line)
        for line in reading.lines():
            driver.reporter.line(line)
        watch = _Watch(driver, root, lease)
        check_tokens(spec, tokens_in_cluster())
        tuner = tune.Tuner(
            _trainable(driver, watch.source(reading, stores)),
            tune_config=tune.TuneConfig(
                search_alg=DriverSearch(driver, watch.room),
                num_samples=-1,  # until the search says that it is finished
                max_concurrent_trials=spec.parallel or watch.most,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=spec.name,
                storage_path=disposable,
                verbose=2 if verbose else 0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[ErrorLog(), OftenAsked(watch.pass_rungs)],
            ),
        )
        driver.left, driver.spending.computed = watch.left, watch.computed
        with driver.reporter.moving(watch.status):
            tuner.fit()
        watch.poll(timeout=60)
        watch.end()
    for line in tally_lines(watch.snapshot["tally"]):
        driver.reporter.line(line)
        logger.info(line)


def _trainable(driver: StudyDriver, source: LedgerSource) -> Any:
    trainable = tune.with_parameters(
        TrialCoordinator,
        context=driver.context,
        source=source,
        base=driver.spec.pipeline,
        parameters=driver.spec.parameters,
    )
    # Memory alone: a coordinator that waits must hold no CPU or GPU.
    return tune.with_resources(trainable, {"memory": COORDINATOR_BYTES})


class _Watch:
    """What the stage ledger knows, for the decision to start more and for the eyes of a person."""

    def __init__(self, driver: StudyDriver, root: StorageRoot, lease: float) -> None:
        """Raises ConfigError where a stage asks for what no node has."""
        spec = self._spec = driver.spec
        self._driver = driver
        resources = {stage: spec.resources(stage) for stage in STAGES}
        fits = {stage: slots(stage, needs) for stage, needs in resources.items()}
        self._demand = Demand(fits, pools(resources), entry="dense")
        self._slots = fits["finetune"]
        self.most = min(self._demand.most, max(1, driver.jobs))
        self._ledger = start_ledger(root.artifacts, dict(spec.stages), lease)
        self._polled = self._rungs = 0.0
        self._heard = 0  # of processes that were ended
        self.snapshot: dict[str, Any] = {"tally": {}, "running": {}, "mean_seconds": {}}

    def source(self, reading: Reading, stores: Sequence[EmbeddingStore]) -> LedgerSource:
        """Return where trials get their stages from, after the embeddings began to load."""
        embeddings = {
            names: share(store.path, *names, reading.window(store))
            for names, store in zip(self._spec.stores(), stores, strict=True)
        }
        return LedgerSource(self._ledger, embeddings)

    def computed(self) -> int:
        """Return how many stages were computed, those in flight included."""
        self.poll(older_than=POLL_SECONDS)
        return sum(counts["computed"] for counts in self.snapshot["tally"].values())

    def room(self) -> bool:
        """Return whether the cluster can use another trial."""
        if self._spec.parallel:  # a person has decided
            return True
        self.poll(older_than=POLL_SECONDS)
        running = self.snapshot["running"]
        return self._demand.room(running, self._driver.fresh, self._driver.running)

    def pass_rungs(self) -> None:
        """Carry what runs are worth at rungs to the driver, and back which trials stop."""
        if not self._spec.early_stopping or time.monotonic() - self._rungs < POLL_SECONDS:
            return
        driver = self._driver
        told = self._exchange(driver.verdicts)
        while told and driver.verdicts:  # what it heard stops somebody
            told = self._exchange(driver.verdicts)
        self._rungs = time.monotonic()

    def _exchange(self, verdicts: list[Verdict]) -> bool:
        try:
            reports = ray.get(self._ledger.reports.remote(list(verdicts)), timeout=5)
        except ray.exceptions.RayError:  # it is started again, or asked again
            return False
        verdicts.clear()
        for report in reports:
            self._driver.reached(report)
        return True

    def poll(self, timeout: float = 5, older_than: float = 0) -> bool:
        """Ask the stage ledger how things stand; return whether it answered."""
        if time.monotonic() - self._polled < older_than:
            return True
        try:
            self.snapshot = ray.get(self._ledger.snapshot.remote(), timeout=timeout)
        except ray.exceptions.RayError:  # the display must never be what ends a study
            return False
        self._polled = time.monotonic()
        endings = self.snapshot["endings"]
        heard, self._heard = self._heard, len(endings)  # fewer than before by a new ledger
        for ending in endings[heard:]:
            logger.warning(ending)
        return True

    def end(self) -> None:
        """Stop the ledger: Ray may stay up for the next launch, which has one of its own."""
        ray.kill(self._ledger)

    def status(self) -> str:
        """Return what moves on a terminal."""
        if not self.poll():
            return "waiting for the cluster"
        driver, tally, running = self._driver, self.snapshot["tally"], self.snapshot["running"]
        shared = sum(counts["reused"] + counts["joined"] for counts in tally.values())
        computed = sum(counts["computed"] for counts in tally.values()) - sum(running.values())
        now = ", ".join(f"{count} {stage}" for stage, count in running.items()) or "none"
        return (
            f"trials: {driver.ended}/{driver.jobs} done, {driver.running} runs in flight"
            f"{self.left()}\n"
            f"  stages: {now} running, {computed} computed, {shared} reused\n"
            f"  {driver.best()}"
        )

    def left(self) -> str:
        """Return an estimate of the time left: the runs to come at the mean cost of one."""
        seconds = self.snapshot["mean_seconds"]
        if "finetune" not in seconds:
            return ""
        runs = (self._driver.jobs - self._driver.ended) * self._spec.seeds.min
        cost = seconds["finetune"] + seconds.get("evaluate", 0.0)
        return f" | about {duration(runs * cost / self._slots)} left" if runs else ""
