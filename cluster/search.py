"""Ray Tune's search algorithm: it hands out a driver's jobs and reports their end, nothing else.

Tune's own record of trials is disposable; the ledger and the committed rows are the truth.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from cluster.driver import Job, StudyDriver

logger = logging.getLogger(__name__)


class ErrorLog(tune.Callback):
    """Keeps the traceback of a coordinator that died in the driver's log."""

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Log what Tune knows of the error."""
        logger.info("trial %s: its coordinator died:\n%s", trial.config["number"], _error(trial))


class OftenAsked(tune.Callback):
    """Has something done in every step of Tune's loop, several times a second, in its thread."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Do it."""
        self._what()

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its set-up into a file that no launch ever reads."""
        return {}


def _error(trial: Any) -> str:
    path = trial.error_file
    return Path(path).read_text(encoding="utf-8", errors="replace") if path else "cause unknown"


class DriverSearch(Searcher):
    """Asks the driver for each of Tune's trials.

    What a lost coordinator left of its job comes back as another job: Tune's own recovery gives
    up on a trial that is lost while it is being set up.
    """

    def __init__(self, driver: StudyDriver, room: Callable[[], bool]) -> None:
        """`room` says whether the cluster can use another trial."""
        super().__init__()
        self._driver, self._room = driver, room
        self._jobs: dict[str, Job] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next job as Tune's trial configuration, or that there is none (yet)."""
        job = self._driver.next_job(self._room)
        if job is None:
            finished: str = Searcher.FINISHED
            return None if self._driver.running else finished
        self._jobs[trial_id] = job
        return {"number": job.number, "chosen": dict(job.chosen), "seeds": list(job.seeds)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Report that a job's coordinator ended, whether well or not."""
        self._driver.gone(self._jobs.pop(trial_id))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing to do: rows carry the results."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its set-up into a file that no launch ever reads."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a new launch reads the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a new launch reads the ledger."""
