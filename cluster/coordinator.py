"""A Tune trial: it coordinates one configuration and computes nothing itself."""

import asyncio
from typing import Any

from ray import tune

from cluster.replicate import run_trial
from cluster.stage_source import LedgerSource
from cluster.study_context import StudyContext
from qpmstudy.config import PipelineConfig, with_values
from storage.study.space import Parameter, settings


class TrialCoordinator(tune.Trainable):
    """Runs the seeds of a configuration side by side; each commits its own row.

    One step is the whole trial. Actors are reused from trial to trial: starting one costs
    seconds, a trial whose stages are all stored costs milliseconds.
    """

    def setup(
        self,
        config: dict[str, Any],
        context: StudyContext,
        source: LedgerSource,
        base: PipelineConfig,
        parameters: tuple[Parameter, ...],
    ) -> None:
        """Keep what all trials have in common."""
        self._context, self._source = context, source
        self._base, self._parameters = base, parameters

    def step(self) -> dict[str, Any]:
        """Run every seed of the job in `config` and report that it is done."""
        chosen = settings(self._parameters, self.config["chosen"])
        config = with_values(self._base, chosen)
        # The coroutine lives outside the class: Ray would make an actor with one asynchronous.
        number, seeds = self.config["number"], self.config["seeds"]
        asyncio.run(run_trial(self._context, self._source, number, config, seeds))
        return {"done": True, "number": number}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Accept the next job; Tune sets `self.config` itself."""
        return True
