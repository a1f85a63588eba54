"""What a run is worth at the rungs that it passes, from epochs as they end and stored stages."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.rungs import Report, rung_at
from qpmstudy.errors import DataError
from storage.artifacts import ArtifactStore
from storage.rows import metric_columns_of
from storage.study.stopping import EarlyStopping, Rung


@dataclass(frozen=True)
class RungFigures:
    """The rungs of a study as its runs meet them; `split` is what a study searches on."""

    rule: EarlyStopping | None
    split: str

    def of_epochs(
        self, trial: int, seed: int, stage: str, records: Iterable[Mapping[str, float]]
    ) -> Iterator[Report]:
        """Yield a report for each of these epochs that is a rung."""
        for record in records:
            rung = rung_at(self.rule, stage, int(record["epoch"]))
            if rung:
                yield _report(trial, seed, rung, record)

    def of_facts(
        self, trial: int, seed: int, stage: str, facts: Mapping[str, Any]
    ) -> Iterator[Report]:
        """Yield a report if the end of a stage is a rung; `facts` are those it is stored with.

        Raises:
            DataError: the embeddings lack the split that the study searches on.
        """
        rung = rung_at(self.rule, stage)
        if rung:
            columns = metric_columns_of(facts, self.split)
            yield _report(trial, seed, rung, {f"dense_{n}": v for n, v in columns.items()})

    def of_stored(
        self, artifacts: ArtifactStore, trial: int, seed: int, keys: Mapping[str, str | None]
    ) -> list[Report]:
        """Return every report of a run whose stages are stored; what was removed tells nothing."""
        found: list[Report] = []
        for stage in dict.fromkeys(rung.after for rung in (self.rule.rungs if self.rule else ())):
            key = keys.get(stage)
            try:
                facts: Mapping[str, Any] = artifacts.facts(stage, key) if key else {}
            except DataError:
                continue
            found += self.of_epochs(trial, seed, stage, facts.get("history", ()))
            found += self.of_facts(trial, seed, stage, facts) if facts else ()
        return found


def _report(trial: int, seed: int, rung: Rung, known: Mapping[str, float | None]) -> Report:
    figures = {name: known.get(name) for name in rung.figures if name in known}
    return Report(trial, seed, rung.label, figures)
