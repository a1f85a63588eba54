"""Results of a study: one Parquet row per (trial, seed), readable while the study runs.

Each row is a file of its own, named by trial and seed and renamed into place: committing a row
twice leaves one, and a reader never meets half of one. All files of a study share one schema,
and each carries a checksum of its row: of Parquet's own, none covers the names of the columns.
"""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from qpmstudy.columns import COMPACTNESS, SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.config import PipelineConfig
from qpmstudy.errors import DataError
from qpmstudy.files import write_bytes
from qpmstudy.stage_graph import STAGES
from storage.provenance import COLUMNS
from storage.seen_rows import content_key, keep_rows, seen_rows

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]

_CHECKSUM = b"row_sha256"

MANY = 200
"""Files that are parsed within a second: what more hold is kept for the next reader."""

RUN_COLUMNS: dict[str, tuple[type, str]] = {
    "study": (str, "name of the study"),
    "trial": (int, "number of the configuration in it"),
    "seed": (int, "the replicate"),
    "status": (str, "COMPLETE, FAIL, or STOPPED by early stopping"),
    "error": (str, "why it failed"),
    "error_log": (str, "end of the traceback"),
    "stopped_at": (str, "rung of early stopping at which it ended"),
    "stopped_because": (str, "the rung's rule and the values"),
    "protocol": (str, "validation or paper: see `protocol` of study files"),
    "split": (str, "split that metrics without a prefix are measured on"),
}
"""Columns that say which run a row is of, and what became of it: type, meaning."""

STAGE_COLUMNS: dict[str, tuple[type, str]] = {
    "key": (str, "hash of all that decides the result; equal keys, one result"),
    "seconds": (float, "seconds it took when it was computed"),
    "reused": (bool, "whether another run had computed it"),
    "device": (str, "processor or GPU that computed it"),
}
"""Columns of each stage, named "key.dense" and so on: type, meaning."""

_ARROW = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}


def config_types(section: type = PipelineConfig, prefix: str = "") -> dict[str, type]:
    """Return the Python type of every configuration value by its path ("finetune.l1_fm")."""
    types: dict[str, type] = {}
    hints = get_type_hints(section)
    for field in fields(section):
        path, kind = prefix + field.name, hints[field.name]
        if is_dataclass(kind):
            assert isinstance(kind, type)
            types |= config_types(kind, f"{path}.")
        else:
            types[path] = kind if kind in _ARROW else str
    return types


def metric_columns(held_out: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all metric columns.

    Bare names ("accuracy") are measured on the split that the study searches on; "test_" and
    other prefixes name a held-out split; a leading "dense_" means the dense model.
    """
    final = [*SPLIT_METRICS, *TRAINING_METRICS]
    final += [f"{split}_{name}" for split in held_out for name in SPLIT_METRICS]
    return (*final, *(f"dense_{name}" for name in final))


def metric_names(row: Row) -> list[str]:
    """Return which of a row's columns are metrics, in the order of the schema."""
    final = (*SPLIT_METRICS, *TRAINING_METRICS)
    others = (*COMPACTNESS, "seconds_per_epoch")
    names = [name for name in row if "." not in name and name.endswith(final)]
    return [*names, *(name for name in others if name in row)]


def schema(held_out: Iterable[str]) -> pa.Schema:
    """Return the schema of a study's rows; `held_out` are the splits besides "train"."""
    return _schema(tuple(held_out))


@functools.cache
def _schema(held_out: tuple[str, ...]) -> pa.Schema:
    columns: list[tuple[str, pa.DataType]] = [
        (name, _ARROW[kind]) for name, (kind, _) in RUN_COLUMNS.items()
    ]
    columns += [(path, _ARROW[kind]) for path, kind in config_types().items()]
    columns += [(name, pa.float64()) for name in metric_columns(held_out)]
    columns += [(name, pa.float64()) for name in (*COMPACTNESS, "seconds_per_epoch")]
    columns += [
        ("qp_solver", pa.string()),
        ("qp_status", pa.string()),
        ("qp_objective", pa.float64()),
        ("qp_bound", pa.float64()),
        ("qp_gap", pa.float64()),
        ("qp_fallback", pa.string()),
    ]
    columns += [
        (f"{prefix}.{stage}", _ARROW[kind])
        for prefix, (kind, _) in STAGE_COLUMNS.items()
        for stage in STAGES
    ]
    columns += [(name, _ARROW[kind]) for name, (kind, _) in COLUMNS.items()]
    return pa.schema(columns)


def by_trial(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """Return rows by the number of their trial."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["trial"], []).append(row)
    return found


class _DamagedError(DataError):
    """The content of a file is not what was written."""


@dataclass(frozen=True)
class ResultTable:
    """The rows of one study in one folder."""

    directory: Path

    def path(self, trial: int, seed: int) -> Path:
        """Return the file of one row."""
        return self.directory / f"trial-{trial:05d}-seed-{seed:03d}.parquet"

    def commit(self, row: Row, row_schema: pa.Schema) -> dict[str, Any]:
        """Write one row, replacing the row of the same trial and seed if there is one.

        Columns that `row` lacks become null; one that the schema lacks is our own bug. Returns
        the row as it will be read.
        """
        unknown = set(row) - set(row_schema.names)
        assert not unknown, f"columns outside the schema: {sorted(unknown)}"
        table = pa.Table.from_pylist([dict(row)], schema=row_schema)
        whole: dict[str, Any] = table.to_pylist()[0]
        table = table.replace_schema_metadata({_CHECKSUM: _checksum(whole)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, use_dictionary=False, write_statistics=False)  # of one row
        write_bytes(self.path(row["trial"], row["seed"]), sink.getvalue().to_pybytes())
        return whole

    def rows(self, remember: bool = True) -> list[dict[str, Any]]:
        """Return all rows, ordered by trial and seed.

        Unless `remember` is False, rows of many new files are kept for the next reader, beside the
        folder.

        Raises:
            DataError: a file is damaged; it is named, and deleting it lets the study redo it.
        """
        found, damaged = self._read_all(remember)
        for error in damaged.values():
            raise error
        return found

    def of_seeds(self, trial: int, seeds: Iterable[int]) -> list[dict[str, Any]]:
        """Return the rows of a trial's seeds that there are, whatever the number of others.

        Raises:
            DataError: a file is damaged.
        """
        paths = (self.path(trial, seed) for seed in seeds)
        return [_with_all_columns(_read(path, {})[1]) for path in paths if path.exists()]

    def intact_rows(self) -> list[dict[str, Any]]:
        """Return all rows that are intact, ordered by trial and seed.

        Damaged files are named in a warning and removed: their rows are made anew.

        Raises:
            DataError: a file cannot be read, which says nothing of its row.
        """
        found, damaged = self._read_all(remember=True)
        for path, error in damaged.items():
            logger.warning("%s It is removed now.", error)
            path.unlink()
        return found

    def _read_all(self, remember: bool) -> tuple[list[dict[str, Any]], dict[Path, _DamagedError]]:
        """Return all rows, ordered by trial and seed, and what is wrong with damaged files."""
        kept = self.directory.with_name("rows.cache")
        seen = seen_rows(kept)
        found: list[tuple[str, dict[str, Any]]] = []
        damaged: dict[Path, _DamagedError] = {}
        paths = self.directory.glob("trial-*-seed-*.parquet")
        for path in sorted(paths, key=lambda path: path.name):
            try:
                found.append(_read(path, seen))
            except _DamagedError as error:
                damaged[path] = error
        if remember and sum(key not in seen for key, _ in found) >= MANY:
            keep_rows(kept, dict(found))
        rows = [_with_all_columns(row) for _, row in found]
        return sorted(rows, key=lambda row: (row["trial"], row["seed"])), damaged


def _read(path: Path, seen: Mapping[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the key of a file's content and its row, which is not parsed if it was seen."""
    try:
        content = path.read_bytes()
        key = content_key(content)
        if key in seen:
            return key, seen[key]
        # neither by path nor by threads: both take longer for so small a file
        table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        rows: list[dict[str, Any]] = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:  # else it is about the content
            raise DataError(
                f"{path} cannot be read: {os.strerror(error.errno)}. See to that, and run the "
                "same command again."
            ) from error
        raise _damaged(path, str(error)) from error
    recorded = (table.schema.metadata or {}).get(_CHECKSUM)
    if len(rows) != 1 or recorded != _checksum(rows[0]):
        raise _damaged(path, "its row is not the one that was written")
    return key, rows[0]


def _with_all_columns(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row; columns that it lacks, being of another version, are null."""
    return row | {name: None for name in _always() if name not in row}


@functools.cache
def _always() -> tuple[str, ...]:
    return tuple(_schema(()).names)


def _checksum(row: Row) -> bytes:
    return hashlib.sha256(json.dumps(row, default=repr).encode()).hexdigest().encode()


def _damaged(path: Path, why: str) -> _DamagedError:
    return _DamagedError(
        f"{path} is damaged ({why}). Delete it and launch the study again: the row is made anew "
        "from the stored stages."
    )
