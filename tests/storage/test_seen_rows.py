"""Rows that were read before: the same rows, sooner, and never any but those of the files."""

import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.errors import DataError
from storage import results
from storage.results import ResultTable, schema
from storage.seen_rows import content_key, keep_rows

SCHEMA = schema(("test",))
ACCURACIES = (0.1 + 0.2, math.nan, -math.inf)


def row(seed: int, **values: Any) -> dict[str, Any]:
    usual = {"study": "s", "trial": 0, "seed": seed, "status": "COMPLETE", "error": "Umlaut ä\n"}
    return usual | flatten(PipelineConfig()) | values


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResultTable:
    """Three rows, which are enough to be kept."""
    monkeypatch.setattr(results, "MANY", 3)
    made = ResultTable(tmp_path / "results")
    for seed, accuracy in enumerate(ACCURACIES):
        made.commit(row(seed, accuracy=accuracy, **{"reused.dense": seed > 0}), SCHEMA)
    return made


@pytest.fixture
def kept(table: ResultTable) -> Path:
    """The file in which the rows are kept."""
    path = table.directory.with_name("rows.cache")
    assert not path.exists()
    table.rows()
    assert path.is_file()
    return path


def test_they_are_taken_from_where_they_are_kept(table: ResultTable, kept: Path) -> None:
    key = content_key(table.path(0, 0).read_bytes())
    keep_rows(kept, {key: row(0, accuracy=0.75)})
    assert [one.get("accuracy") for one in table.rows()] == pytest.approx(
        [0.75, *ACCURACIES[1:]], nan_ok=True
    )


def test_they_come_back_as_they_were(table: ResultTable, kept: Path) -> None:
    again = table.rows()
    kept.unlink()
    assert repr(again) == repr(table.rows())  # every value, its type, and the order of columns
    assert list(again[0]) == SCHEMA.names
    assert pq.read_table(table.directory).num_rows == 3


def test_what_the_files_say_counts(table: ResultTable, kept: Path) -> None:
    before = kept.read_bytes()
    table.commit(row(1, accuracy=0.5), SCHEMA)
    table.path(0, 2).unlink()
    assert [one["accuracy"] for one in table.rows()] == [ACCURACIES[0], 0.5]
    assert kept.read_bytes() == before  # one new row is no reason to write thousands
    table.path(0, 0).write_bytes(table.path(0, 0).read_bytes()[:-1])
    with pytest.raises(DataError, match=r"trial-00000-seed-000.parquet is damaged"):
        table.rows()
    assert [one["seed"] for one in table.intact_rows()] == [1]


def test_rows_of_other_columns_keep_theirs(table: ResultTable, kept: Path) -> None:
    wider = schema(("test", "shift"))
    for seed in (3, 4, 5):
        table.commit(row(seed), wider)
    before = kept.read_bytes()
    table.rows()
    assert kept.read_bytes() != before
    assert ["shift_sid" in one for one in table.rows()] == [False] * 3 + [True] * 3


def test_damage_to_what_is_kept_is_no_damage(table: ResultTable, kept: Path) -> None:
    whole, expected = kept.read_bytes(), repr(table.rows())
    for position in range(0, len(whole), len(whole) // 50):
        broken = bytearray(whole)
        broken[position] ^= 1 << position % 8
        kept.write_bytes(broken)
        assert repr(table.rows()) == expected
    for content in (b"", whole[:-1], whole[: len(whole) // 2]):
        kept.write_bytes(content)
        assert repr(table.rows()) == expected
        assert kept.read_bytes() == whole  # made anew


def test_where_nothing_can_be_kept_rows_are_read(table: ResultTable, tmp_path: Path) -> None:
    (tmp_path / "rows.cache").mkdir()  # in the way of a file
    assert len(table.rows()) == len(table.intact_rows()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "rows.cache"]


def test_who_may_not_write_leaves_nothing(table: ResultTable, tmp_path: Path) -> None:
    assert len(table.rows(remember=False)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
