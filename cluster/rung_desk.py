"""Where runs leave what they are worth at a rung, and hear from the driver whether they stop.

No Ray: one actor keeps such a desk. Lost with it, a report or a verdict stops nobody, so all that
is lost is time.
"""

import asyncio
from collections.abc import Sequence

from cluster.rungs import Report, Verdict

PATIENCE = 20.0
"""Seconds after which who waits for a verdict is told that there is none yet."""


class RungDesk:
    """Reports on their way to the driver, and its verdicts on their way back."""

    def __init__(self) -> None:
        self._reports: list[Report] = []
        self._verdicts: dict[int, Verdict] = {}
        self._changed: dict[int, asyncio.Event] = {}

    def leave(self, report: Report) -> None:
        """Keep a report until the driver comes for it."""
        self._reports.append(report)

    def collect(self, verdicts: Sequence[Verdict]) -> list[Report]:
        """Take the driver's verdicts, and return what came since it was here last."""
        for verdict in verdicts:
            self._verdicts[verdict.trial] = verdict
            if verdict.trial in self._changed:
                self._changed[verdict.trial].set()
        reports, self._reports = self._reports, []
        return reports

    async def wait(self, trial: int) -> Verdict | None:
        """Return the verdict by which a trial is stopped, or None after a while without one."""
        if trial not in self._verdicts:
            changed = self._changed.setdefault(trial, asyncio.Event())
            try:
                await asyncio.wait_for(changed.wait(), PATIENCE)
            except TimeoutError:
                return None
        return self._verdicts[trial]
