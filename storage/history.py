"""What stages took before, wherever under a root they were computed: the basis of an estimate."""

import functools
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.stage_graph import STAGES
from storage.layout import StorageRoot

SAME, SAME_DATA, ANY = "the same settings", "other settings on the same data", "other data"
BASES = (SAME, SAME_DATA, ANY)
"""How alike the stages of an estimate are, the best first; of two, the other seeds are alike."""

EPOCHS = {"dense": "dense.epochs", "finetune": "finetune.epochs"}
"""The value that a stage's time grows with."""


@dataclass(frozen=True)
class Guess:
    """Seconds of a stage: the median of `of` results computed before with settings so alike."""

    seconds: float
    of: int
    basis: str


def sections(stage: str) -> frozenset[str]:
    """Return the sections of the configuration that decide what a stage reads, inputs included."""
    own = frozenset(STAGES[stage].sections) | {"embeddings"}
    return own.union(*(sections(name) for name in STAGES[stage].inputs))


@dataclass(frozen=True)
class _Past:
    values: tuple[Any, ...]
    fingerprint: str
    epochs: float
    seconds: float


@dataclass
class History:
    """Every stage that a committed row names, once."""

    _past: dict[str, list[_Past]]
    _known: dict[tuple[str, tuple[Any, ...], str], Guess | None] = field(default_factory=dict)

    def guess(self, stage: str, config: PipelineConfig, fingerprint: str) -> Guess | None:
        """Return what a stage of a configuration may take; None where none was computed before.

        Unless the settings are the same, times are scaled by the number of epochs.
        """
        flat = flatten(config)
        values, epochs = _values(stage, flat), _epochs(stage, flat)
        wanted = (stage, values, fingerprint)
        if wanted not in self._known:
            self._known[wanted] = self._guess(stage, values, fingerprint, epochs)
        return self._known[wanted]

    def _guess(
        self, stage: str, values: tuple[Any, ...], fingerprint: str, epochs: float
    ) -> Guess | None:
        past = self._past.get(stage, [])
        there = [one for one in past if one.fingerprint == fingerprint]
        alike = [one for one in there if one.values == values]
        for basis, found in zip(BASES, (alike, there, past), strict=True):
            if found:
                seconds = statistics.median(one.seconds * epochs / one.epochs for one in found)
                return Guess(seconds, len(found), basis)
        return None


def read_history(root: StorageRoot) -> History:
    """Return what the rows of every study under a root tell.

    Raises:
        DataError: a row is damaged.
    """
    past: dict[str, dict[str, _Past]] = {}
    for folder in root.studies():
        for row in folder.results.rows(remember=False):
            for stage in STAGES:
                key, seconds = row[f"key.{stage}"], row[f"seconds.{stage}"]
                if key and seconds is not None:
                    values, epochs = _values(stage, row), _epochs(stage, row)
                    one = _Past(values, row["fingerprint"], epochs, seconds)
                    past.setdefault(stage, {})[key] = one
    return History({stage: list(found.values()) for stage, found in past.items()})


def _values(stage: str, flat: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(flat[path] for path in _paths(stage))


@functools.cache
def _paths(stage: str) -> tuple[str, ...]:
    """Return the configuration values that decide a stage's time on the same embeddings."""
    wanted = sections(stage) - {"embeddings"}  # which the fingerprint stands for
    return tuple(path for path in flatten(PipelineConfig()) if path.split(".")[0] in wanted)


def _epochs(stage: str, flat: Mapping[str, Any]) -> float:
    return float(flat[EPOCHS[stage]]) if stage in EPOCHS else 1.0
