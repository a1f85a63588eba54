"""The paper's printed values: every record is usable, and those most quoted are right."""

import json
import re
from pathlib import Path

import pytest

from qpmstudy import metrics, paper
from qpmstudy.datasets import DATASETS
from qpmstudy.errors import ConfigError
from qpmstudy.paper import PublishedValue, published

TABLES = ("Table 1", "Table 3", "Table 4")
ALL = [value for table in TABLES for value in published(table)]
SECONDARY = "secondary page: https://"


def cell(table: str, row: str, metric: str, dataset: str = "cub2011") -> float:
    key = (row, dataset, metric)
    [value] = [v.value for v in published(table) if (v.row, v.dataset, v.metric) == key]
    return value


def test_every_record_belongs_to_a_table_that_can_be_asked_for() -> None:
    file = Path(paper.__file__).with_name("published.json")
    assert len(json.loads(file.read_text(encoding="utf-8"))) == len(ALL)


def test_no_cell_stands_there_twice() -> None:
    keys = [(v.table, v.row, v.dataset, v.metric) for v in ALL]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("value", ALL, ids=lambda v: f"{v.table}-{v.row}-{v.dataset}-{v.metric}")
def test_a_record_is_well_formed(value: PublishedValue) -> None:
    assert value.metric in metrics.__all__
    assert value.dataset in {*DATASETS.names(), "stanford-cars"}
    assert 0 < value.value <= 1
    assert round(100 * value.value, 1) == pytest.approx(100 * value.value), "printed as xx.x %"
    assert value.std is None or 0 <= value.std < value.value
    assert value.row.strip() == value.row != ""
    assert value.source.startswith((SECONDARY, "https://github.com/RobertZimm/DINO-QPM "))


def test_table_1_is_complete_but_for_what_it_leaves_empty() -> None:
    rows = dict.fromkeys(v.row for v in published("Table 1"))
    columns = {(v.dataset, v.metric) for v in published("Table 1")}
    empty = {("DINO-QPM Compact", name, "sid") for name in ("cub2011", "stanford-cars")}
    cells = {(row, *column) for row in rows for column in columns}
    assert (len(rows), len(columns)) == (8, 9)
    assert {(v.row, v.dataset, v.metric) for v in published("Table 1")} == cells - empty
    assert ("stanford-cars", "plausibility") not in columns  # it has no object masks


def test_what_the_paper_claims_follows_from_the_values() -> None:
    ours = {m: cell("Table 1", "DINO-QPM", m) for m in ("accuracy", "plausibility")}
    assert ours == {"accuracy": 0.883, "plausibility": 0.95}
    for row in ("Linear probe on CLS^froz", "Dense F^froz", "DINO-SLDD", "DINO-QSENN"):
        assert all(cell("Table 1", row, metric) < value for metric, value in ours.items())
    for table, row in (
        ("Table 3", "patches, with registers"),
        ("Table 4", "DINOv2 ViT-B/14 with registers"),
    ):
        assert cell(table, row, "accuracy") == ours["accuracy"]  # the same model


def test_only_table_1_was_read_from_the_authors() -> None:
    assert {v.table for v in ALL if not v.source.startswith(SECONDARY)} == {"Table 1"}


@pytest.mark.parametrize("unknown", ["Table 9", "table 1", ""])
def test_what_no_study_repeats_is_refused(unknown: str) -> None:
    message = re.escape(f"No study repeats {unknown!r} of the paper: ask for one of Table 1, ")
    with pytest.raises(ConfigError, match=message):
        published(unknown)


@pytest.mark.parametrize("table", ["Table 2", "Figure 9"])
def test_what_could_not_be_read_has_no_values(table: str) -> None:
    assert published(table) == ()
