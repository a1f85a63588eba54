"""Ray Tune's search algorithm: it hands out jobs and settles them, nothing else.

Tune's own record of trials is disposable; the ledger and the committed rows are the truth.
"""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from cluster.plan import Job, Plan
from cluster.trial_ledger import TrialLedger
from storage.study import StudySpec

ATTEMPTS = 3  # at one job within one launch

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
    """Deals the unfinished jobs of earlier launches first, then new configurations.

    What a lost coordinator left of its job is dealt again, to another one, a few times:
    Tune's own recovery gives up on a trial that is lost while it is being set up.
    """

    def __init__(
        self,
        spec: StudySpec,
        ledger: TrialLedger,
        plan: Plan,
        on_start: Callable[[Job], None],
        on_end: Callable[[Job], Job | None],
    ) -> None:
        """`on_end` settles a job and returns what is left of it to do, or None."""
        super().__init__()
        self._spec, self._ledger = spec, ledger
        self._queue = list(plan.unfinished)
        self._undealt = plan.undealt
        self._running: dict[str, Job] = {}
        self._losses: Counter[int] = Counter()
        self.abandoned: list[Job] = []
        self._on_start, self._on_end = on_start, on_end

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next job as Tune's trial configuration, or that there is none (yet)."""
        if self._queue:
            job = self._queue.pop(0)
        elif self._undealt:
            self._undealt -= 1
            trial = self._ledger.deal()
            job = Job(trial.number, trial.chosen, tuple(range(self._spec.seeds)))
        elif self._running:
            return None  # one of them may be lost and come back
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
        job = self._running.pop(trial_id)
        left = self._on_end(job)
        if left is None:
            return
        self._losses[job.number] += 1
        if self._losses[job.number] < ATTEMPTS:
            self._queue.append(left)
        else:
            self.abandoned.append(left)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing to do: rows carry the results."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its set-up into a file that no launch ever reads."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a new launch reads the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a new launch reads the ledger."""
