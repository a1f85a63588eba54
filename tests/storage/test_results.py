"""Result rows: one schema, committed once, and no damage that is taken for a result."""

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qpmstudy.columns import COMPACTNESS, SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.errors import DataError
from qpmstudy.stage_graph import STAGES
from storage.results import ResultTable, schema

SCHEMA = schema(("test", "shift"))


@pytest.fixture
def table(tmp_path: Path) -> ResultTable:
    return ResultTable(tmp_path / "results")


def complete(trial: int, seed: int, **values: Any) -> dict[str, Any]:
    return {
        "study": "s",
        "trial": trial,
        "seed": seed,
        "status": "COMPLETE",
        "accuracy": 0.5,
        **flatten(PipelineConfig()),
        **values,
    }


def failed(trial: int, seed: int) -> dict[str, Any]:
    return {"study": "s", "trial": trial, "seed": seed, "status": "FAIL", "error": "it broke"}


def pairs(table: ResultTable) -> set[tuple[int, int]]:
    """Return the (trial, seed) of every row that is intact, after removing the others."""
    return {(row["trial"], row["seed"]) for row in table.intact_rows()}


def test_the_schema_covers_everything_that_decides_or_describes_a_run() -> None:
    arrow = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    for path, value in flatten(PipelineConfig()).items():
        assert SCHEMA.field(path).type == arrow[type(value)], path
    for phase in ("", "dense_"):
        for metric in (*SPLIT_METRICS, *TRAINING_METRICS):
            assert SCHEMA.field(phase + metric).type == pa.float64()
        for split in ("test", "shift"):
            for metric in SPLIT_METRICS:
                assert SCHEMA.field(f"{phase}{split}_{metric}").type == pa.float64()
    for name in (*COMPACTNESS, "seconds_per_epoch"):
        assert SCHEMA.field(name).type == pa.float64()
    for stage in STAGES:
        assert SCHEMA.field(f"key.{stage}").type == pa.string()
        assert SCHEMA.field(f"seconds.{stage}").type == pa.float64()
        assert SCHEMA.field(f"reused.{stage}").type == pa.bool_()
    for name in ("objective", "bound", "gap", "status", "solver", "fallback"):
        assert f"qp_{name}" in SCHEMA.names
    assert {"error", "host"} < set(SCHEMA.names)
    assert len(set(SCHEMA.names)) == len(SCHEMA.names)


def test_a_row_comes_back_as_it_was(table: ResultTable) -> None:
    row = complete(3, 1, error="Umlaut ä", **{"key.dense": "ab", "reused.dense": True})
    table.commit(row, SCHEMA)
    (found,) = table.rows()
    assert {name: found[name] for name in row} == row
    assert {found[name] for name in set(SCHEMA.names) - set(row)} == {None}


def test_committing_twice_leaves_the_last(table: ResultTable) -> None:
    table.commit(complete(0, 0, accuracy=0.1), SCHEMA)
    table.commit(complete(0, 0, accuracy=0.2), SCHEMA)
    assert [row["accuracy"] for row in table.rows()] == [0.2]
    assert len(list(table.directory.iterdir())) == 1


def test_rows_are_ordered(table: ResultTable) -> None:
    for trial, seed in ((11, 0), (2, 1), (2, 0), (0, 10), (0, 9)):
        table.commit(complete(trial, seed), SCHEMA)
    order = [(row["trial"], row["seed"]) for row in table.rows()]
    assert order == [(0, 9), (0, 10), (2, 0), (2, 1), (11, 0)]
    assert pairs(table) == set(order)


def test_a_folder_that_starts_with_a_failure_reads_as_one_table(table: ResultTable) -> None:
    table.commit(failed(0, 0), SCHEMA)
    table.commit(complete(1, 0), SCHEMA)
    table.commit(complete(1, 1), SCHEMA)
    whole = pq.read_table(table.directory)
    assert whole.schema.equals(SCHEMA)
    assert whole.column("status").to_pylist() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert whole.column("accuracy").to_pylist() == [None, 0.5, 0.5]
    assert whole.column("finetune.l1_fm").to_pylist() == [None, 5.0, 5.0]


def test_no_flipped_byte_changes_a_row(table: ResultTable) -> None:
    table.commit(complete(0, 0), SCHEMA)
    path = table.path(0, 0)
    whole, (row,) = path.read_bytes(), table.rows()
    seen = 0
    for position in range(0, len(whole), 61):
        broken = bytearray(whole)
        broken[position] ^= 1 << position % 8
        path.write_bytes(broken)
        try:
            assert table.rows() == [row]  # a byte that nothing reads
        except DataError:
            seen += 1
    assert seen > 50


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table at all" * 9])
def test_a_damaged_file_is_named_and_removed(
    table: ResultTable, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    table.commit(complete(0, 0), SCHEMA)
    table.commit(complete(0, 1), SCHEMA)
    table.path(0, 1).write_bytes(content)
    with pytest.raises(DataError, match=r"trial-00000-seed-001.parquet is damaged.*Delete it"):
        table.rows()
    with caplog.at_level(logging.WARNING):
        assert pairs(table) == {(0, 0)}
    assert "trial-00000-seed-001.parquet" in caplog.text
    assert [row["seed"] for row in table.rows()] == [0]


def test_a_truncated_file_is_removed(table: ResultTable) -> None:
    table.commit(complete(0, 0), SCHEMA)
    path = table.path(0, 0)
    path.write_bytes(path.read_bytes()[:-1])
    assert pairs(table) == set()
    assert not path.exists()


def test_a_row_that_cannot_be_read_now_is_not_taken_for_damaged(
    table: ResultTable, tmp_path: Path
) -> None:
    """It lies on another disk, which is not mounted for a while."""
    table.commit(complete(0, 0), SCHEMA)
    path, elsewhere = table.path(0, 0), tmp_path / "disk"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    elsewhere.rename(tmp_path / "away")
    for read in (table.rows, table.intact_rows):
        with pytest.raises(DataError, match=r"seed-000.parquet cannot be read: No such file"):
            read()
    (tmp_path / "away").rename(elsewhere)
    assert pairs(table) == {(0, 0)}


def test_a_row_of_an_older_version_has_every_column(table: ResultTable) -> None:
    """Of one that knew neither this value nor this error."""
    lacks = [SCHEMA.get_field_index(name) for name in ("stopped_at", "finetune.early_epochs")]
    older = SCHEMA
    for index in sorted(lacks, reverse=True):
        older = older.remove(index)
    row = {name: value for name, value in complete(0, 0).items() if name in older.names}
    table.commit(row, older)
    table.commit(complete(0, 1), SCHEMA)
    first, second = table.rows()
    assert set(first) == set(second)
    assert (first["finetune.early_epochs"], second["finetune.early_epochs"]) == (None, 10)


def test_a_foreign_table_of_no_rows_is_damaged(table: ResultTable) -> None:
    table.directory.mkdir()
    pq.write_table(SCHEMA.empty_table(), table.path(0, 0))
    with pytest.raises(DataError, match="not the one that was written"):
        table.rows()


def test_half_written_files_are_not_rows(table: ResultTable) -> None:
    """What a killed writer leaves under its temporary name."""
    table.commit(complete(0, 0), SCHEMA)
    (table.directory / ".trial-00000-seed-001.parquet.x1").write_bytes(b"PAR1")
    assert pairs(table) == {(0, 0)}
    assert pq.read_table(table.directory).num_rows == 1


def test_an_unknown_column_is_our_own_bug(table: ResultTable) -> None:
    with pytest.raises(AssertionError, match=r"outside the schema: \['speed'\]"):
        table.commit(complete(0, 0, speed=1), SCHEMA)


def test_no_rows_yet(table: ResultTable) -> None:
    assert table.rows() == []
    assert pairs(table) == set()
