"""The linear probe that a study's accuracy is held against, wherever it was run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qpmstudy.errors import QpmStudyError
from storage.analysis import ParetoResult
from storage.layout import StorageRoot
from storage.results import Row, by_trial
from storage.spec_file import stored_spec
from storage.study import StudySpec
from storage.summary import Estimate, estimate

ACCURACY = "accuracy"
"""The metric that a probe is held against in: its maps show nothing on purpose."""


@dataclass(frozen=True)
class Probe:
    """The best linear probe on the same images: no adapter, no selection."""

    study: str
    trial: int
    accuracy: Estimate


def best_probe(root: StorageRoot, result: ParetoResult) -> Probe | None:
    """Return the most accurate probe of any study, on the embeddings and split of a result.

    A study that is damaged, or of another version, has none: it must not be in the way of others.
    """
    wanted = {_judged_on(row) for member in result.members for row in member.complete}
    read = {study.spec.name: study.rows for study in result.studies}
    found: list[Probe] = []
    for folder in root.studies():
        try:
            spec = stored_spec(folder)
            if not _has_probes(spec):
                continue
            rows = read.get(spec.name) or folder.results.rows()
        except QpmStudyError:
            continue
        found += _probes(spec, [row for row in rows if _judged_on(row) in wanted])
    return max(found, key=lambda probe: probe.accuracy.mean, default=None)


def is_probe(row: Row) -> bool:
    """Return whether a run is a linear map of frozen features and nothing else."""
    depth: int = row["adapter.depth"]
    return depth == 0 and row["select.method"] == "none" and row["adapter.kind"] == "mlp"


def _has_probes(spec: StudySpec) -> bool:
    return 0 in spec.choices("adapter.depth") and "none" in spec.choices("select.method")


def _probes(spec: StudySpec, rows: Sequence[Row]) -> list[Probe]:
    good = (
        row
        for row in rows
        if is_probe(row) and row["status"] == "COMPLETE" and row[ACCURACY] is not None
    )
    return [
        Probe(spec.name, trial, estimate([row[ACCURACY] for row in mine]))
        for trial, mine in by_trial(good).items()
        if len(mine) >= spec.seeds.min
    ]


def _judged_on(row: Mapping[str, object]) -> tuple[object, ...]:
    names = ("fingerprint", "embeddings.dataset", "protocol", "split", "split.validation")
    return tuple(row.get(name) for name in names)
