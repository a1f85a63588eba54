"""Ray Tune's search algorithm: it hands out jobs and settles them, nothing else.

Tune's own record of trials is disposable; the ledger and the committed rows are the truth.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from cluster.plan import Job, Plan
from cluster.trial_ledger import TrialLedger
from storage.study import StudySpec

JobListener = Callable[[Job], None]

logger = logging.getLogger(__name__)


class ErrorLog(tune.Callback):
    """Keeps the traceback of a coordinator that died in the driver's log."""

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Log what Tune knows of the error."""
        logger.info("trial %s: its coordinator died:\n%s", trial.config["number"], _error(trial))


def _error(trial: Any) -> str:
    path = trial.error_file
    return Path(path).read_text(encoding="utf-8", errors="replace") if path else "cause unknown"


class LedgerSearch(Searcher):
    """Deals the unfinished jobs of earlier launches first, then new configurations."""

    def __init__(
        self,
        spec: StudySpec,
        ledger: TrialLedger,
        plan: Plan,
        on_start: JobListener,
        on_end: JobListener,
    ) -> None:
        super().__init__()
        self._spec, self._ledger = spec, ledger
        self._queue = list(plan.unfinished)
        self._undealt = plan.undealt
        self._running: dict[str, Job] = {}
        self._on_start, self._on_end = on_start, on_end

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Return the next job as Tune's trial configuration, or that there are no more."""
        if self._queue:
            job = self._queue.pop(0)
        elif self._undealt:
            self._undealt -= 1
            trial = self._ledger.deal()
            job = Job(trial.number, trial.chosen, tuple(range(self._spec.seeds)))
        else:
            finished: str = Searcher.FINISHED
            return finished
        self._running[trial_id] = job
        self._on_start(job)
        return {"number": job.number, "chosen": dict(job.chosen), "seeds": list(job.seeds)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Settle a job whose coordinator ended, whether well or not."""
        self._on_end(self._running.pop(trial_id))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing to do: rows carry the results."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its set-up into a file that no launch ever reads."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a new launch reads the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a new launch reads the ledger."""
