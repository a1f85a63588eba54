"""What no result needs: found, and removed so that a kill in between loses nothing.

Needed are the stages that committed rows name, whichever study they belong to, and those that an
unfinished study will ask for. Whoever removes holds `removal_lock`, so no driver runs meanwhile.
Stages of a driver that died may still: what is younger than a grace period stays, by the clock
of the file system alone.
"""

import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qpmstudy.config import PipelineConfig
from qpmstudy.errors import DataError
from qpmstudy.files import remove_directory
from qpmstudy.stage_graph import STAGES, stage_keys
from storage.embeddings import open_store
from storage.layout import StorageRoot, StudyFolder
from storage.results import Row
from storage.spec_file import stored_spec
from storage.study import StudySpec
from storage.summary import summarise

Keep = Literal["needed", "front"]
Pending = Callable[[StudyFolder, StudySpec], Iterable[PipelineConfig]]
"""Returns the configurations that an unfinished study has dealt or will deal."""

GRACE_SECONDS = 3600.0
LEFTOVERS = (
    *("_artifacts/*/*/.*", "_overlays/*/.*", "_datasets/.*"),
    *("[!_.]*/.*", "[!_.]*/*/.*"),
)
"""Where `qpmstudy.files` puts what is not whole yet; a killed writer leaves it there.

Not below _embeddings: a store is written in place, and goes on after a kill.
"""


@dataclass(frozen=True)
class Rubbish:
    """A result that nothing needs, or what a killed writer left."""

    path: Path
    kind: str  # name of the stage, "overlay" or "leftover"
    bytes: int


@dataclass(frozen=True)
class Findings:
    """What can be removed, and what stays of the stages' results."""

    rubbish: tuple[Rubbish, ...]
    kept: int
    kept_bytes: int
    young: int  # of those kept: needed by nothing, but within the grace period


def find(
    root: StorageRoot, pending: Pending, keep: Keep = "needed", grace: float = GRACE_SECONDS
) -> Findings:
    """Return what can be removed below a storage root. Nothing is changed.

    Args:
        root: the storage root.
        pending: asked about every unfinished study.
        keep: "needed" keeps the stages of every row; "front" keeps, of finished studies, only
            those of configurations on the Pareto front (rows and metrics stay).
        grace: seconds; what is younger stays.

    Raises:
        DataError: a row or specification is damaged, or the embeddings of an unfinished study
            are missing, so that what it needs cannot be told.
    """
    needed = needed_keys(root, pending, keep)
    if not root.path.is_dir():
        return Findings((), 0, 0, 0)
    now = _file_system_time(root.path)
    found, kept, kept_bytes, young = [], 0, 0, 0
    for stage, path in _results(root):
        size, unneeded = _size(path), path.name not in needed
        if unneeded and now - _changed(path) >= grace:
            found.append(Rubbish(path, stage, size))
        else:
            kept, kept_bytes, young = kept + 1, kept_bytes + size, young + unneeded
    for kind, path in (*_overlays(root, needed), *_leftovers(root)):
        if now - _changed(path) >= grace:
            found.append(Rubbish(path, kind, _size(path)))
    return Findings(tuple(found), kept, kept_bytes, young)


def remove(rubbish: Iterable[Rubbish]) -> Iterator[Rubbish]:
    """Remove what was found, one after another, and yield each once it is gone.

    Raises:
        UnwritableError: the file system refuses; what was not yielded is whole, or a leftover.
    """
    for one in rubbish:
        if one.path.is_dir():
            remove_directory(one.path)
        else:
            one.path.unlink(missing_ok=True)
        yield one


def needed_keys(root: StorageRoot, pending: Pending, keep: Keep = "needed") -> set[str]:
    """Return the keys of all stages that are to stay; arguments and errors as for `find`."""
    keys: set[str] = set()
    for folder in _folders(root):
        rows: list[Row] = list(folder.results.rows())
        if not folder.spec.is_file():  # nobody knows what it asked: its rows count
            keys |= _keys_of(rows)
            continue
        spec = stored_spec(folder)
        if len(rows) < spec.configurations * spec.seeds.max:
            keys |= _keys_of(rows) | _future_keys(root, spec, pending(folder, spec))
            continue
        keys |= _keys_of(_of_front(rows, spec) or rows) if keep == "front" else _keys_of(rows)
    return keys


def _of_front(rows: Sequence[Row], spec: StudySpec) -> list[Row]:
    front = {c.trial for c in summarise(rows, spec, metrics=()) if c.on_front}
    return [row for row in rows if row["trial"] in front]


def _folders(root: StorageRoot) -> list[StudyFolder]:
    """Return every folder with a specification or rows, the one without the other included."""
    specs = {path.parent for path in root.path.glob("[!_.]*/study.json")}
    rows = {path.parents[1] for path in root.path.glob("[!_.]*/results/*.parquet")}
    return [StudyFolder(path) for path in sorted(specs | rows)]


def _keys_of(rows: Iterable[Row]) -> set[str]:
    return {row[f"key.{stage}"] for row in rows for stage in STAGES if row.get(f"key.{stage}")}


def _future_keys(
    root: StorageRoot, spec: StudySpec, configurations: Iterable[PipelineConfig]
) -> set[str]:
    fingerprints: dict[tuple[str, str], str] = {}
    keys: set[str] = set()
    for config in configurations:
        names = (config.embeddings.dataset, config.embeddings.backbone)
        if names not in fingerprints:
            try:
                store = open_store(root.embeddings(*names), *names)
            except DataError as error:
                raise DataError(
                    f"The study {spec.name!r} is unfinished, and which stages it still needs "
                    f"cannot be told: {error} Or move {root.study(spec.name).path} away, if "
                    "nobody will go on with it. Nothing was removed."
                ) from error
            fingerprints[names] = store.fingerprint
        for seed in range(spec.seeds.max):
            keys |= set(stage_keys(config, fingerprints[names], seed).values())
    return keys


def _results(root: StorageRoot) -> Iterator[tuple[str, Path]]:
    for stage in STAGES:
        for path in sorted((root.artifacts.root / stage).glob("*/[!.]*")):
            if path.is_dir():
                yield stage, path


def _overlays(root: StorageRoot, needed: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield the pictures of evaluations that nothing needs."""
    for path in sorted(root.overlays.glob("*/[!.]*.jpg")):
        if path.stem not in needed:
            yield "overlay", path


def _leftovers(root: StorageRoot) -> Iterator[tuple[str, Path]]:
    for pattern in LEFTOVERS:
        for path in sorted(root.path.glob(pattern)):
            yield "leftover", path


def _file_system_time(folder: Path) -> float:
    """Return the time that the file system writes beside files; its clock may not be ours."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime


def _changed(path: Path) -> float:
    """Return when the newest file of a folder, or a file, was written."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return max(file.lstat().st_mtime for file in files)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum(
        Path(folder, name).lstat().st_size
        for folder, _, names in os.walk(path)  # half the time of rglob, which lists twice
        for name in names
    )
