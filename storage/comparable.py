"""Whether results of several studies may stand in one table, and in what they differ."""

from collections.abc import Sequence
from typing import Any

from qpmstudy.config import flatten
from qpmstudy.errors import ConfigError
from storage.results import Row
from storage.study import StudySpec

SAME_IMAGES = ("embeddings.dataset", "split.validation")
"""Values that decide which images the others are judged on."""


def check_comparable(
    studies: Sequence[tuple[StudySpec, Sequence[Row]]], metrics: Sequence[str]
) -> list[str]:
    """Return what a reader should know of the differences between studies.

    Args:
        studies: with their rows.
        metrics: that are compared.

    Raises:
        ConfigError: they were judged on other images, or by another measure: another protocol,
            split, dataset or other embeddings of it, or SID of another k.
    """
    if len(studies) < 2:
        return []
    reasons = [
        line
        for name, found in (
            ("protocol", [{spec.protocol} for spec, _ in studies]),
            *((path, [_values(spec, path) for spec, _ in studies]) for path in SAME_IMAGES),
            *_fingerprints(studies),
            *(
                [("evaluate.sid_k", [_values(spec, "evaluate.sid_k") for spec, _ in studies])]
                if any("sid" in metric for metric in metrics)
                else []
            ),
        )
        if (line := _difference(name, found, studies))
    ]
    if reasons:
        listing = "\n".join(f"  - {reason}" for reason in reasons)
        raise ConfigError(
            f"These studies cannot stand in one table, they were not judged alike:\n{listing}\n"
            "Name studies that agree in this."
        )
    return _notes(studies)


def _values(spec: StudySpec, path: str) -> set[Any]:
    return set(spec.choices(path))


def _difference(
    name: str, found: Sequence[set[Any]], studies: Sequence[tuple[StudySpec, Sequence[Row]]]
) -> str:
    if all(one == found[0] for one in found):
        return ""
    return f"{name}: " + ", ".join(
        f"{' and '.join(sorted(map(str, one)))} in {spec.name}"
        for one, (spec, _) in zip(found, studies, strict=True)
    )


def _fingerprints(
    studies: Sequence[tuple[StudySpec, Sequence[Row]]],
) -> list[tuple[str, list[set[str]]]]:
    """Return the fingerprints of every store that all studies read."""
    tables: list[dict[tuple[str, str], set[str]]] = []
    for _, rows in studies:
        mine: dict[tuple[str, str], set[str]] = {}
        for row in rows:
            store = row["embeddings.dataset"], row["embeddings.backbone"]
            mine.setdefault(store, set()).add(str(row.get("fingerprint"))[:12])
        tables.append(mine)
    shared = sorted(set.intersection(*(set(one) for one in tables)))
    return [
        (f"fingerprint of the embeddings {'/'.join(store)}", [one[store] for one in tables])
        for store in shared
    ]


def _notes(studies: Sequence[tuple[StudySpec, Sequence[Row]]]) -> list[str]:
    """Return in which values, that none of them varies, the pipelines of studies differ."""
    notes = []
    specs = [spec for spec, _ in studies]
    varied = {path for spec in specs for p in spec.parameters for path in p.paths}
    for path in flatten(specs[0].pipeline):
        found = [_values(spec, path) for spec in specs]
        if path not in varied and (line := _difference(path, found, studies)):
            notes.append(line)
    if line := _difference("seeds", [{str(spec.seeds)} for spec in specs], studies):
        notes.append(line)
    return notes
