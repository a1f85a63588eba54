"""The ledger of trials: an Optuna study in a journal file, written by the driver alone.

Which configurations were proposed and what they are worth is recorded here and nowhere else.
Results are committed first; only then is a trial told (`tell`, `fail`).
"""

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from cluster.samplers import SAMPLERS, suggest
from qpmstudy.errors import DataError
from storage.study import StudySpec, grid

optuna.logging.set_verbosity(optuna.logging.ERROR)
logging.getLogger("optuna").propagate = False


@dataclass(frozen=True)
class LedgerTrial:
    """A configuration that was proposed."""

    number: int
    chosen: Mapping[str, Any]  # by parameter name
    running: bool  # neither told nor failed


class TrialLedger:
    """Deals configurations and records what became of them.

    Whoever opens one for writing must hold the study's driver lock.
    """

    def __init__(self, path: Path, spec: StudySpec) -> None:
        """Open the journal at `path`, made anew if there is none.

        Raises:
            DataError: the journal is damaged.
        """
        self._spec = spec
        self._levels = grid(spec.parameters) if spec.sampler == "grid" else None
        _mend(path)
        try:
            self._study = optuna.create_study(
                study_name=spec.name,
                storage=JournalStorage(JournalFileBackend(str(path))),
                directions=[
                    "maximize" if way == "max" else "minimize" for way in spec.objectives.values()
                ],
                load_if_exists=True,
            )
        except (ValueError, KeyError) as error:
            raise DataError(
                f"The ledger {path} is damaged ({error}). Move it away and launch the study "
                "again: stored stages and results are found by their content."
            ) from error

    def trials(self) -> list[LedgerTrial]:
        """Return every trial dealt so far, in order; interrupted ones with all their values."""
        return [self._complete(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def deal(self) -> LedgerTrial:
        """Propose the next configuration and record it as running.

        The sampler is seeded by trial and parameter, so what it draws does not depend on how
        often the study was interrupted, or where.
        """
        number = len(self._study.get_trials(deepcopy=False))
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if waiting:  # cut off between the two calls below
            number = waiting[0].number
        elif self._levels is not None:
            self._study.enqueue_trial(self._levels[number])
        self._seed_sampler(number, 0)
        trial = self._study.ask()
        return LedgerTrial(trial.number, self._suggest(trial), running=True)

    def tell(self, number: int, values: Sequence[float | None]) -> bool:
        """Record the objectives of a trial; returns False, and records FAIL, if one is no number.

        A trial that has been told stays as it was told.
        """
        numbers = [math.nan if value is None else value for value in values]
        if not all(map(math.isfinite, numbers)):
            self.fail(number)
            return False
        self._study.tell(number, numbers, skip_if_finished=True)
        return True

    def fail(self, number: int) -> None:
        """Record that a trial failed."""
        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _complete(self, frozen: optuna.trial.FrozenTrial) -> LedgerTrial:
        if frozen.state.is_finished():
            return LedgerTrial(frozen.number, frozen.params, running=False)
        # It may have been killed while its values were drawn: the missing ones are drawn now.
        self._seed_sampler(frozen.number, 0)
        return LedgerTrial(
            frozen.number,
            self._suggest(optuna.Trial(self._study, frozen._trial_id)),
            running=True,
        )

    def _suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            chosen = {}
            for position, parameter in enumerate(self._spec.parameters):
                self._seed_sampler(trial.number, position)
                chosen[parameter.name] = suggest(trial, parameter)
            return chosen

    def _seed_sampler(self, number: int, position: int) -> None:
        seed = number * len(self._spec.parameters) + position
        self._study.sampler = SAMPLERS.get(self._spec.sampler)(self._spec, seed)


def _mend(path: Path) -> None:
    """Undo what a killed driver can leave: half a last line, and Optuna's own lock file.

    Half a line would otherwise swallow the next one, and the lock is waited for in vain.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{path}.lock").unlink(missing_ok=True)
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
