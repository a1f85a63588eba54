"""The paper's tables from a study's rows: the right numbers in the right cells."""

import csv
import io
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qpmstudy.config import flatten, with_values
from qpmstudy.errors import DataError
from storage.study import StudySpec, grid, parse_study
from storage.study.space import settings
from storage.table import comma_separated, legend, make_table, markdown, text, write_table

METHODS = {
    "DINO-QPM": {},
    "DINO-SLDD": {"select.method": "sldd"},
    "unheard of": {"select.method": "qsenn"},
}


def study(**changes: Any) -> StudySpec:
    content = {
        "name": "methods",
        "description": "all methods",
        "space": {
            "method": {"variants": METHODS},
            "embeddings.dataset": {"values": ["cub2011", "birds"]},
        },
        "seeds": 2,
        "table": {"paper": "Table 1", "metrics": ["test_accuracy", "dead_features"]},
    }
    return parse_study(content | changes, "methods.yaml")


def rows(spec: StudySpec, value: dict[str, tuple[float | None, ...]]) -> list[dict[str, Any]]:
    """Return rows of every configuration; `value` has a metric's values by seed."""
    found = []
    for trial, chosen in enumerate(grid(spec.parameters)):
        config = flatten(with_values(spec.pipeline, settings(spec.parameters, chosen)))
        for seed in range(spec.seeds.max):
            numbers = {name: values[seed] for name, values in value.items()}
            found.append(config | {"trial": trial, "seed": seed, "status": "COMPLETE"} | numbers)
    return found


ROWS = {"test_accuracy": (0.8, 0.9), "dead_features": (1.0, 3.0)}


def test_cells_have_mean_and_deviation_over_seeds_and_the_published_value() -> None:
    table = make_table(rows(study(), ROWS), study())
    assert table.rows == (("DINO-QPM",), ("DINO-SLDD",), ("unheard of",))
    assert [(c.dataset, c.metric) for c in table.columns] == [
        ("cub2011", "test_accuracy"),
        ("cub2011", "dead_features"),
        ("birds", "test_accuracy"),
        ("birds", "dead_features"),
    ]
    ours = table.cells[0][0]
    assert ours.mean == pytest.approx(0.85)
    assert ours.std == pytest.approx(statistics.stdev([0.8, 0.9]))
    assert ours.paper is not None
    assert ours.paper.value == 0.883
    assert text(ours, table.columns[0]) == "85.0 ±7.1 (88.3)"
    assert text(table.cells[0][1], table.columns[1]) == "2 ±1.41"
    assert table.cells[0][2].paper is None  # the paper has no birds
    assert table.cells[2][0].paper is None  # nor this method


def test_what_is_missing_is_left_out_and_failed_runs_do_not_count() -> None:
    spec = study()
    some = rows(spec, ROWS)
    some[0] |= {"status": "FAIL", "test_accuracy": None}
    some = [row for row in some if row["trial"] != 1]
    table = make_table(some, spec)
    assert (table.cells[0][0].seeds, table.cells[0][0].mean) == (1, 0.9)
    assert math.isnan(table.cells[0][0].std)
    assert math.isnan(table.cells[0][2].mean)
    assert text(table.cells[0][2], table.columns[2]) == "-"


def test_a_study_without_results_or_such_a_column_is_refused() -> None:
    with pytest.raises(DataError, match="has no complete run yet: launch it first"):
        make_table([], study())
    spec = study(table={"metrics": ["test_acuracy"]})
    with pytest.raises(DataError, match=r"no column 'test_acuracy': name some of .*test_accuracy"):
        make_table(rows(spec, ROWS), spec)


def test_files_hold_the_table(tmp_path: Path) -> None:
    table = make_table(rows(study(), ROWS), study())
    paths = write_table(table, tmp_path)
    assert [path.name for path in paths] == ["table.md", "table.csv", "table.png"]
    lines = list(csv.DictReader(io.StringIO(paths[1].read_text())))
    assert len(lines) == 3 * 4
    assert lines[0]["method"] == "DINO-QPM"
    assert (float(lines[0]["mean"]), float(lines[0]["published"])) == (pytest.approx(0.85), 0.883)
    assert lines[2]["published"] == ""
    assert "| DINO-QPM | 85.0 ±7.1 (88.3) |" in paths[0].read_text()
    assert "not comparable" in legend(table)
    assert "github.com/RobertZimm" in markdown(table)
    assert comma_separated(table).count("\n") == 13
    with Image.open(paths[2]) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    "space",
    [
        {"finetune.l1_fm": {"values": [0, 1, 5, 100]}},
        {"finetune.l1_fm": {"values": [1, 10, 100]}},
        {"select.features": {"values": [30, 40]}, "select.per_class": {"values": [3, 4, 5]}},
        {"adapter.depth": {"values": [1, 2]}, "embeddings.dataset": {"values": ["cub2011"]}},
    ],
)
def test_curves_and_heat_maps_are_drawn(tmp_path: Path, space: dict[str, Any]) -> None:
    spec = study(space=space, table={"metrics": ["test_accuracy"]})
    table = make_table(rows(spec, ROWS), spec)
    picture = write_table(table, tmp_path)[-1]
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert len(set(image.convert("RGB").resize((64, 64)).get_flattened_data())) > 8


def test_a_metric_that_a_dataset_lacks_is_a_dash_and_has_no_panel(tmp_path: Path) -> None:
    metrics = ["test_accuracy", "test_plausibility"]
    spec = study(table={"paper": "Table 1", "metrics": metrics})
    some = rows(spec, {"test_accuracy": (0.8, 0.9), "test_plausibility": (0.7, 0.8)})
    whole = write_table(make_table(some, spec), tmp_path)[-1].read_bytes()
    for row in some:
        if row["embeddings.dataset"] == "cub2011":
            row["test_plausibility"] = None
    table = make_table(some, spec)
    assert text(table.cells[0][1], table.columns[1]) == "- (95.0)"
    assert text(table.cells[0][3], table.columns[3]) == "75.0 ±7.1"
    fewer = write_table(table, tmp_path)[-1]
    with Image.open(fewer) as image, Image.open(io.BytesIO(whole)) as before:
        assert image.width * image.height < before.width * before.height
    for row in some:
        row["test_accuracy"] = row["test_plausibility"] = None
    with pytest.raises(DataError, match="are all undefined"):
        write_table(make_table(some, spec), tmp_path)


def test_there_is_a_heat_map_for_every_metric_of_every_dataset(tmp_path: Path) -> None:
    space = {
        "embeddings.dataset": {"values": ["cub2011", "stanford-cars"]},
        "select.features": {"values": [30, 40, 50]},
        "select.per_class": {"values": [3, 4]},
    }
    sizes = []
    for metrics in (["test_accuracy"], ["test_accuracy", "dead_features"]):
        spec = study(space=space, table={"metrics": metrics})
        picture = write_table(make_table(rows(spec, ROWS), spec), tmp_path)[-1]
        with Image.open(picture) as image:
            sizes.append(image.height)
    assert sizes[1] > 1.8 * sizes[0]  # a second row of two


def test_both_plausibilities_stand_beside_the_one_that_is_printed() -> None:
    metrics = ["test_plausibility", "test_plausibility_shifted"]
    spec = study(table={"paper": "Table 1", "metrics": metrics})
    some = rows(spec, dict.fromkeys(metrics, (0.7, 0.8)))
    texts = markdown(make_table(some, spec)).splitlines()
    assert "| DINO-QPM | 75.0 ±7.1 (95.0) | 75.0 ±7.1 (95.0) | 75.0 ±7.1 |" in "\n".join(texts)
