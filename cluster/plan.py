"""What is left to do of a study: ledger and results compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.replication import replication
from cluster.rungs import Rungs, Verdict
from cluster.study_machine import Objectives, StudyMachine
from cluster.trial_ledger import LedgerTrial, TrialLedger
from storage.results import ResultTable, Row, by_trial
from storage.study import StudySpec
from storage.summary import belongs


@dataclass(frozen=True)
class Plan:
    """A machine that knows what earlier launches did, and what there was to know.

    Attributes:
        machine: decides what to do next.
        trials: every configuration dealt so far.
        rows: committed before this launch, that count.
        stale: those that do not: of failed runs to be repeated, or of another configuration.
        complete: trials with the rows of all their first seeds.
    """

    machine: StudyMachine
    trials: Sequence[LedgerTrial]
    rows: Sequence[Row]
    stale: Sequence[Row]
    complete: int


def reconcile(
    spec: StudySpec,
    ledger: TrialLedger,
    results: ResultTable,
    retry_failed: bool = False,
    stop_dealing: Callable[[float], bool] = lambda now: False,
) -> Plan:
    """Compare ledger and results, tell what was committed but not told, and plan the rest.

    A row counts for a trial if its configuration is the one the ledger dealt; one with status
    FAIL counts too, unless `retry_failed`. `stop_dealing` is the machine's. A trial that was
    stopped early stays so, whatever the study file says of early stopping by now.
    """
    trials = ledger.trials()
    there = by_trial(results.intact_rows())
    rungs, verdicts = Rungs.of(spec), _verdicts(ledger)
    if rungs:
        for number, label, standing in ledger.rungs():
            rungs.remember(number, label, standing)
    machine = StudyMachine(
        spec.seeds.min,
        max(0, spec.configurations - len(trials)),
        replication(spec).next if spec.seeds.adaptive else None,
        stop_dealing,
        rungs,
    )
    rows: list[Row] = []
    stale: list[Row] = []
    complete = 0
    for trial in trials:
        committed = there.get(trial.number, [])
        mine = [
            row
            for row in committed
            if belongs(row, spec, trial.chosen) and not (retry_failed and row["status"] == "FAIL")
        ]
        rows += mine
        stale += [row for row in committed if row not in mine]
        whole = {row["seed"] for row in mine} >= set(range(spec.seeds.min))
        if whole and trial.running:
            settle(spec, ledger, trial.number, mine)
        complete += whole
        values = {row["seed"]: objectives(row, spec) for row in mine}
        stopped = verdicts.get(trial.number)
        if stopped and {row["status"] for row in mine} == {"COMPLETE"} and not trial.running:
            stopped = None  # its last row was there before it heard
        machine.known(trial.number, values, stopped)
    return Plan(machine, trials, rows, stale, complete)


def _verdicts(ledger: TrialLedger) -> dict[int, Verdict]:
    """Return by which verdict each trial was stopped."""
    verdicts = (standing.verdict for _, _, standing in ledger.rungs())
    return {v.trial: v for v in verdicts if v is not None and v.stop}


def objectives(row: Row, spec: StudySpec) -> Objectives | None:
    """Return the objectives of a row, or None where it has not all of them."""
    values = [row[name] for name in spec.objectives]
    return None if row["status"] != "COMPLETE" or None in values else tuple(values)


def settle(spec: StudySpec, ledger: TrialLedger, trial: int, rows: Sequence[Row]) -> None:
    """Tell the ledger of a trial whose rows are all committed: mean over seeds, or why none."""
    statuses = {row["status"] for row in rows}
    if statuses != {"COMPLETE"}:
        ledger.fail(trial) if "FAIL" in statuses else ledger.stop(trial)
        return
    means: list[float | None] = []
    for name in spec.objectives:
        values = [row[name] for row in rows]
        means.append(None if None in values else sum(values) / len(values))
    ledger.tell(trial, means)
