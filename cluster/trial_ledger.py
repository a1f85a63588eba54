"""The ledger of trials: an Optuna study in a journal file, written by the driver alone.

Which configurations were proposed and what they are worth is recorded here and nowhere else.
Results are committed first; only then is a trial told (`tell`, `fail`).
"""

import logging
import math
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from cluster.rungs import Standing, Verdict
from cluster.samplers import SAMPLERS, distribution, suggest
from cluster.warm_start import Observation
from qpmstudy.errors import DataError
from storage.study import StudySpec, grid

optuna.logging.set_verbosity(optuna.logging.ERROR)
logging.getLogger("optuna").propagate = False

LEVEL = "level"
"""Attribute of a grid's trial: its values. A sampler's parameters may never get another value."""
WARM = "warm_start"
"""Attribute of an earlier study's trial: which one it is."""
RUNG = "rung:"
"""Prefix of the study's attributes that say what a trial is worth at a rung."""
# NSGA-II looks for parents in the last generation alone: this is the one before the study's.
WARM_SYSTEM = {optuna.samplers.NSGAIISampler._get_generation_key(): 0}


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

    def __init__(self, path: Path, spec: StudySpec, warm: Sequence[Observation] = ()) -> None:
        """Open the journal at `path`, made anew if there is none.

        `warm` enters a journal in which nothing has been dealt yet. Its entries come before the
        study's own trials and are never among them.

        Raises:
            DataError: the journal is damaged.
        """
        self._spec = spec
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
        except (ValueError, KeyError, TypeError, AssertionError) as error:  # as Optuna reads it
            raise DataError(
                f"The ledger {path} is damaged ({error}). Move it away and launch the study "
                "again: stored stages and results are found by their content."
            ) from error
        self._warm = self._enter(warm)
        own = self._own()
        self._dealt = len(own)
        # A grid is dealt in order, whatever stands in it by now that did not before.
        dealt = [_frozen_values(frozen) for frozen in own]
        known = {_point(values) for values in dealt if values is not None}
        levels = grid(spec.parameters) if spec.sampler == "grid" else []
        self._levels = deque(level for level in levels if _point(level) not in known)

    def trials(self) -> list[LedgerTrial]:
        """Return every trial dealt so far, in order; interrupted ones with all their values."""
        return [self._complete(frozen) for frozen in self._own()]

    def deal(self) -> LedgerTrial:
        """Propose the next configuration and record it as running.

        The sampler is seeded by trial and parameter, so what it draws does not depend on how
        often the study was interrupted, or where.
        """
        self._dealt += 1
        if self._spec.sampler == "grid":
            return self._deal_level()
        self._seed_sampler(self._dealt - 1, 0)
        trial = self._study.ask()
        return LedgerTrial(trial.number - self._warm, self._suggest(trial), running=True)

    def _deal_level(self) -> LedgerTrial:
        """Deal the next configuration of a grid, by one entry into the journal.

        Asked for a trial, Optuna would look through all those before, each time.
        """
        level = self._levels.popleft()
        self._study.add_trial(
            optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={LEVEL: level})
        )
        return LedgerTrial(self._dealt - 1, level, running=True)

    def tell(self, number: int, values: Sequence[float | None]) -> bool:
        """Record the objectives of a trial; returns False, and records FAIL, if one is no number.

        A trial that has been told stays as it was told.
        """
        numbers = [math.nan if value is None else value for value in values]
        if not all(map(math.isfinite, numbers)):
            self.fail(number)
            return False
        self._study.tell(number + self._warm, numbers, skip_if_finished=True)
        return True

    def fail(self, number: int) -> None:
        """Record that a trial failed."""
        self._study.tell(number + self._warm, state=TrialState.FAIL, skip_if_finished=True)

    def stop(self, number: int) -> None:
        """Record that a trial was stopped early: samplers take it for a poor one."""
        self._study.tell(number + self._warm, state=TrialState.PRUNED, skip_if_finished=True)

    def note_rung(self, trial: int, label: str, standing: Standing) -> None:
        """Record what is known of a trial at a rung, before anything is done about it.

        It is an attribute of the study, not of the trial: one that has ended takes no more.
        """
        verdict = standing.verdict
        content = {
            "names": list(standing.names),
            "seeds": {str(seed): list(values) for seed, values in standing.seeds.items()},
            "verdict": None if verdict is None else [verdict.stop, verdict.why],
        }
        self._study.set_user_attr(f"{RUNG}{trial}:{label}", content)

    def rungs(self) -> list[tuple[int, str, Standing]]:
        """Return trial, rung and what is known of it there, of everything that was noted."""
        found = []
        for name, content in self._study.user_attrs.items():
            if name.startswith(RUNG):
                trial, _, label = name.removeprefix(RUNG).partition(":")
                seeds = {int(seed): tuple(values) for seed, values in content["seeds"].items()}
                verdict = content["verdict"] and Verdict(int(trial), label, *content["verdict"])
                names = tuple(content.get("names", ()))
                found.append((int(trial), label, Standing(seeds, verdict, names)))
        return found

    def _own(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False)[self._warm :]

    def _enter(self, warm: Sequence[Observation]) -> int:
        """Add what is not there yet of earlier studies; return how many are there."""
        there = self._study.get_trials(deepcopy=False)
        count = sum(WARM in frozen.user_attrs for frozen in there)
        if count < len(there):  # the study has begun
            return count
        by_name = {parameter.name: distribution(parameter) for parameter in self._spec.parameters}
        for observation in warm[count:]:
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=observation.chosen,
                    distributions={name: by_name[name] for name in observation.chosen},
                    values=observation.values,
                    user_attrs={WARM: observation.source},
                    system_attrs=WARM_SYSTEM,
                )
            )
        return max(count, len(warm))

    def _complete(self, frozen: optuna.trial.FrozenTrial) -> LedgerTrial:
        number, chosen = frozen.number - self._warm, _frozen_values(frozen)
        if frozen.state.is_finished():
            return LedgerTrial(number, chosen or {}, running=False)
        if chosen is not None and {*chosen} == {
            parameter.name for parameter in self._spec.parameters if parameter.active(chosen)
        }:
            return LedgerTrial(number, chosen, running=True)
        # It was killed while its values were drawn: the missing ones are drawn now.
        self._seed_sampler(number, 0)
        trial = optuna.Trial(self._study, frozen._trial_id)
        return LedgerTrial(number, self._suggest(trial), running=True)

    def _suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for position, parameter in enumerate(self._spec.parameters):
                if parameter.active(chosen):
                    self._seed_sampler(trial.number - self._warm, position)
                    chosen[parameter.name] = suggest(trial, parameter)
        return chosen

    def _seed_sampler(self, number: int, position: int) -> None:
        seed = number * len(self._spec.parameters) + position
        self._study.sampler = SAMPLERS.get(self._spec.sampler)(self._spec, seed)


def _frozen_values(frozen: optuna.trial.FrozenTrial) -> dict[str, Any] | None:
    """Return what was recorded of a trial's values, perhaps not all; None: nothing."""
    found: dict[str, Any] = frozen.user_attrs.get(LEVEL, frozen.params)
    return found or None


def _point(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))


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
