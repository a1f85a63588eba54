"""What is left to do of a study: ledger and results compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.trial_ledger import LedgerTrial, TrialLedger
from storage.results import ResultTable, Row
from storage.study import StudySpec
from storage.summary import belongs


@dataclass(frozen=True)
class Job:
    """One trial and the seeds of it that have no row yet."""

    number: int
    chosen: Mapping[str, Any]
    seeds: tuple[int, ...]


@dataclass
class Plan:
    """Jobs that an earlier launch left, and how many configurations are yet to be dealt."""

    unfinished: list[Job] = field(default_factory=list)
    undealt: int = 0
    complete: int = 0  # trials with all their rows
    rows: Sequence[Row] = ()  # committed before this launch

    @property
    def jobs(self) -> int:
        """Return how many trials are left to run."""
        return len(self.unfinished) + self.undealt


def reconcile(
    spec: StudySpec, ledger: TrialLedger, results: ResultTable, retry_failed: bool = False
) -> Plan:
    """Compare ledger and results, tell what was committed but not told, and return the rest.

    A row counts for a trial if its configuration is the one the ledger dealt; one with status
    FAIL counts too, unless `retry_failed`.
    """
    rows = results.intact_rows()
    plan = Plan(rows=rows)
    trials = ledger.trials()
    for trial in trials:
        mine = [r for r in rows if r["trial"] == trial.number and belongs(r, spec, trial.chosen)]
        done = {row["seed"] for row in mine if row["status"] != "FAIL" or not retry_failed}
        missing = tuple(seed for seed in range(spec.seeds) if seed not in done)
        if missing:
            plan.unfinished.append(Job(trial.number, trial.chosen, missing))
        else:
            plan.complete += 1
            if trial.running:
                settle(spec, ledger, trial, mine)
    plan.undealt = max(0, spec.configurations - len(trials))
    return plan


def settle(
    spec: StudySpec, ledger: TrialLedger, trial: LedgerTrial | Job, rows: Sequence[Row]
) -> bool:
    """Tell the ledger of a trial whose rows are all committed: mean over seeds, or failure.

    Returns whether the trial counts as a success.
    """
    if any(row["status"] != "COMPLETE" for row in rows):
        ledger.fail(trial.number)
        return False
    means: list[float | None] = []
    for name in spec.objectives:
        values = [row[name] for row in rows]
        means.append(None if None in values else sum(values) / len(values))
    return ledger.tell(trial.number, means)
