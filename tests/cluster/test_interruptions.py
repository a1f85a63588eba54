"""Launch, kill, lose, extend and relaunch in any order: the rows are those of one launch.

The driver, its ledger and its rows are real; runs are carried out here, without a cluster, and
each gives what its configuration and seed say.
"""

import io
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from cluster.budget import Budget, Spending
from cluster.driver import Job, StudyDriver
from cluster.plan import reconcile
from cluster.replication import replication, table_of
from cluster.reporter import Reporter
from cluster.rungs import Report
from cluster.study_context import StoreFacts, StudyContext
from cluster.study_machine import Finish
from cluster.trial_ledger import TrialLedger
from qpmstudy.config import flatten, with_values
from storage.results import Row, schema
from storage.study import StudySpec, parse_study
from storage.study.extension import check_changes
from storage.study.space import settings as settings_of
from storage.study.space import values_in

COLUMNS = schema(("test",))
SPACE: dict[str, Any] = {
    "select.method": {"values": ["qpm", "sldd"]},
    "select.per_class": {"values": [3, 4], "when": {"select.method": "qpm"}},
    "finetune.l1_fm": {"values": [0, 1, 2]},
}
STOPPING = {"rungs": [{"after": "evaluate_dense"}], "min_reached": 2, "keep": 0.4}


class KilledError(Exception):
    """The driver is gone, between any two of its writes."""


def is_best(values: Mapping[str, Any]) -> bool:
    """Return whether a configuration dominates all others."""
    return bool(values["finetune.l1_fm"] == 2 and values["select.method"] == "sldd")


def figures(chosen: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what a run gives: one failure, one objective that is missing, one best trial."""
    random = Random(repr((sorted(chosen.items()), seed)))
    l1 = chosen["finetune.l1_fm"]
    if (l1, seed, chosen["select.method"]) == (1, 1, "sldd"):
        return {"status": "FAIL", "error": "it always fails"}
    best = is_best(chosen)
    return {
        "status": "COMPLETE",
        "accuracy": 0.99 if best else random.uniform(0.2, 0.8),
        "plausibility": None if l1 == 0 and chosen.get("select.per_class") == 4 else 0.5 + best / 4,
    }


@dataclass
class World:
    """What outlives a driver, and the moments at which one is killed or loses a run."""

    root: Path
    random: Random
    committed: list[tuple[int, int]] = field(default_factory=list)
    left: int = 10**9  # steps until the next kill

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KilledError

    def launch(self, spec: StudySpec, stages: int | None = None, calm: bool = False) -> bool:
        """Run a study until it is over (True), killed, or the budget is spent."""
        self.left = 10**9 if calm else self.random.randrange(60)
        try:
            return self._drive(spec, Budget(stages=stages), calm)
        except KilledError:
            return False

    def rows(self, spec: StudySpec) -> list[dict[str, Any]]:
        return self.context(spec).folder.results.rows()

    def context(self, spec: StudySpec) -> StudyContext:
        return StudyContext(
            study=spec.name,
            root=str(self.root),
            protocol=spec.protocol,
            split=spec.objective_split,
            stores=dict.fromkeys(spec.stores(), StoreFacts("f" * 64, ("test",), "")),
            early_stopping=spec.early_stopping,
        )

    def _drive(self, spec: StudySpec, budget: Budget, calm: bool) -> bool:
        context = self.context(spec)
        ledger = TrialLedger(context.folder.ledger, spec)
        for name in ("deal", "tell", "fail", "stop", "note_rung"):
            self._may_die_before(ledger, name)
        spending = Spending(budget, time.monotonic())
        plan = reconcile(spec, ledger, context.folder.results, False, spending.over)
        reporter = Reporter(Console(file=io.StringIO()))
        driver = StudyDriver(spec, ledger, context, plan, reporter, spending)
        started = len(self.committed)
        spending.computed = lambda: len(self.committed) - started
        running: list[tuple[Job, Iterator[None]]] = []
        while True:
            self.step()
            job = driver.next_job(lambda: self.random.random() < 0.7)
            if job:
                running.append((job, self._run(driver, spec, job)))
            elif not running:
                return isinstance(plan.machine.next(0), Finish) and not plan.machine.stopped_early
            job, run = running[self.random.randrange(len(running))] if running else (None, None)
            lost = not calm and self.random.random() < 0.02
            if job and run and (lost or next(run, "ended") == "ended"):
                running.remove((job, run))
                driver.gone(job)

    def _run(self, driver: StudyDriver, spec: StudySpec, job: Job) -> Iterator[None]:
        """Carry out the seeds of a job, a step at a time."""
        config = with_values(spec.pipeline, settings_of(spec.parameters, job.chosen))
        seeds = list(job.seeds)
        self.random.shuffle(seeds)
        for seed in seeds:
            found = figures(dict(job.chosen), seed)
            if spec.early_stopping and not driver.plan.machine.stopped(job.number):
                measured = {f"dense_{n}": found.get(n) for n in spec.objectives}
                driver.reached(Report(job.number, seed, "evaluate_dense", measured))
            yield
        for seed in seeds:
            if driver.plan.machine.stopped(job.number):
                return  # what has no row comes back as `Stop`
            self.step()
            row = {"study": spec.name, "trial": job.number, "seed": seed, **flatten(config)}
            driver.context.folder.results.commit(row | figures(dict(job.chosen), seed), COLUMNS)
            self.committed.append((job.number, seed))
            yield

    def _may_die_before(self, ledger: TrialLedger, name: str) -> None:
        write = getattr(ledger, name)

        def dying(*arguments: Any) -> Any:
            self.step()
            return write(*arguments)

        setattr(ledger, name, dying)


def study(**changes: Any) -> StudySpec:
    return parse_study({"name": "s", "space": SPACE, "seeds": 2} | changes, "s.yaml")


def worth(rows: list[dict[str, Any]], spec: StudySpec) -> dict[Any, Any]:
    """Return what became of each configuration and seed."""
    return {
        (tuple(sorted(values_in(spec.parameters, row).items())), row["seed"]): (
            row["status"],
            row["accuracy"],
        )
        for row in rows
    }


def states(world: World, spec: StudySpec) -> dict[int, str]:
    """Return how the ledger has every trial."""
    ledger = TrialLedger(world.context(spec).folder.ledger, spec)
    return {n: trial.state.name for n, trial in enumerate(ledger._study.trials)}


def state_of(rows: list[Row], seeds: int) -> str:
    first = [row for row in rows if row["seed"] < seeds]
    statuses = {row["status"] for row in first}
    if "FAIL" in statuses or (statuses == {"COMPLETE"} and first[0]["plausibility"] is None):
        return "FAIL"
    return "PRUNED" if "STOPPED" in statuses else "COMPLETE"


def interrupted(world: World, versions: list[StudySpec]) -> StudySpec:
    """Launch a study again and again, extended on the way, until all of the last is done."""
    for spec, wider in pairwise(versions):
        for _ in range(world.random.randrange(4)):
            world.launch(spec, world.random.choice([None, None, 1, 5]))
        assert check_changes(spec.canonical(), wider, extend=True)
    launches = 0
    while not world.launch(versions[-1], calm=launches > 12):
        launches += 1
    return versions[-1]


GROWN = SPACE | {"finetune.l1_fm": {"values": [2, 3, 1, 0]}}
HISTORIES = {
    "grid": [{}, {"seeds": 3}, {"seeds": 3, "space": GROWN}],
    "random": [
        {"sampler": "random", "trials": 3},
        {"sampler": "random", "trials": 7},
        {"sampler": "random", "trials": 7, "seeds": 3},
    ],
    "nsga2": [{"sampler": "nsga2", "trials": 6}, {"sampler": "nsga2", "trials": 9}],
    "adaptive": [{}, {"seeds": {"min": 2, "max": 4}}],
    "stopping": [{"early_stopping": STOPPING}, {"early_stopping": STOPPING, "seeds": 3}],
    "adaptive and stopping": [
        {"early_stopping": STOPPING},
        {"early_stopping": STOPPING | {"keep": 0.6}, "seeds": {"min": 2, "max": 4}},
    ],
}


@pytest.mark.parametrize("history", HISTORIES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_rows_are_those_of_one_launch(history: str, seed: int) -> None:
    versions = [study(**changes) for changes in HISTORIES[history]]
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "a", Random(seed))
        spec = interrupted(world, versions)
        rows = world.rows(spec)
        by_trial = {n: [r for r in rows if r["trial"] == n] for n in {r["trial"] for r in rows}}
        # none twice, none lost, none left open
        assert len(set(world.committed)) == len(world.committed)
        assert sorted(by_trial) == list(range(spec.configurations))
        for mine in by_trial.values():
            assert {row["seed"] for row in mine} >= set(range(spec.seeds.min))
        assert "RUNNING" not in states(world, spec).values()
        if history in ("grid", "random"):
            calm = World(Path(folder) / "b", Random(seed))
            assert calm.launch(spec, calm=True)
            assert worth(rows, spec) == worth(calm.rows(spec), spec)
        if spec.seeds.adaptive:
            assert replication(spec).over(table_of(rows, spec))
            assert all(row["seed"] < spec.seeds.max for row in rows)
        if spec.early_stopping:
            assert {row["status"] for row in rows if is_best(row)} == {"COMPLETE"}
        if spec.seeds.min == versions[0].seeds.min:  # else trials were told before they had more
            found = {n: state_of(mine, spec.seeds.min) for n, mine in by_trial.items()}
            assert states(world, spec) == found
