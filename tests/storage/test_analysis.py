"""Rows of studies to their common front, its reasons and its files."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from made_rows import Figures, made_results, made_study
from qpmstudy.errors import ConfigError, DataError
from storage.analysis import ParetoResult, StudyResults, pareto_result, parse_objectives
from storage.explained import why_not
from storage.front import write_front

FIGURES: dict[int, Figures] = {
    0: {"accuracy": [0.9, 0.8], "plausibility": [0.3, 0.3], "n_features": [18.0, 18.0]},
    1: {"accuracy": [0.7, 0.7], "plausibility": [0.6, 0.8], "n_features": [18.0, 18.0]},
    2: {"accuracy": [0.69, 0.69], "plausibility": [0.7, 0.7], "n_features": [14.0, 14.0]},
    3: {"accuracy": [0.5, 0.5], "plausibility": [0.5, None], "n_features": [18.0, 18.0]},
}


def analysed(**options: Any) -> ParetoResult:
    return pareto_result([made_results(made_study(), FIGURES)], **options)


def test_the_front_and_why_others_are_not_on_it() -> None:
    found = analysed()
    assert found.front.on_front.tolist() == [True, True, False, False]
    assert [why_not(found, index) for index in range(4)] == [
        "", "", "dominated by trial 1: +1.0 accuracy at equal plausibility", "has no plausibility",
    ]  # fmt: skip
    assert found.front.reference == (0.0, 0.0)
    assert found.front.hypervolume == pytest.approx(0.85 * 0.3 + 0.7 * 0.4)


def test_draws_are_held_to_what_a_metric_can_be() -> None:
    """100 % in both seeds, or in one of them and worse in all else: that one never wins."""
    figures: dict[int, Figures] = {
        0: {"accuracy": [1.0, 0.96], "plausibility": [0.7, 0.71]},
        1: {"accuracy": [1.0, 1.0], "plausibility": [0.99, 1.0]},
    }
    front = pareto_result([made_results(made_study(seeds=2), figures)]).front
    assert front.probability.tolist() == [0, 1]
    assert front.band[0] < front.hypervolume < front.band[1] <= 1
    signed = figures | {0: {"accuracy": [1.0, 0.96], "plausibility": [0.7, 1.2]}}
    assert pareto_result([made_results(made_study(seeds=2), signed)]).front.band[1] > 1


def test_another_objective_and_a_constraint() -> None:
    found = analysed(
        objectives={"accuracy": "max", "n_features": "min"}, constraints=["plausibility > 40%"]
    )
    assert found.front.on_front.tolist() == [False, True, True, False]
    assert found.front.reference == (0.0, 18.0)  # the worst there is: it is no fraction
    assert why_not(found, 0) == "breaks plausibility > 0.4 (plausibility 30.0)"
    assert why_not(found, 3) == "breaks plausibility > 0.4 (plausibility -)"
    fewer = analysed(objectives={"n_features": "min", "plausibility": "max"})
    assert why_not(fewer, 0) == "dominated by trial 2: -4 n_features, +40.0 plausibility"


def test_failed_stopped_and_missing_runs_never_count() -> None:
    made = made_results(made_study(seeds=3), FIGURES)
    ends = {0: "FAIL", 1: "STOPPED"}
    rows = [
        {**row, "status": ends.get(row["trial"], "COMPLETE") if row["seed"] else "COMPLETE"}
        for row in made.rows
    ] + [{**made.rows[4], "seed": 2}]  # trial 2 is whole
    found = pareto_result([StudyResults(made.spec, rows)])
    assert found.front.on_front.tolist() == [False, False, True, False]
    assert found.front.growth.counts.tolist() == [1]
    assert [why_not(found, index) for index in range(4)] == [
        "1 of 2 seeds failed", "1 of 2 seeds ended early", "", "2 of 3 seeds complete",
    ]  # fmt: skip
    nothing = [{**row, "status": "STOPPED"} for row in rows]
    with pytest.raises(DataError, match="No run of s is complete yet"):
        pareto_result([StudyResults(made.spec, nothing)])
    failed = [{**row, "status": "FAIL", "error": "No disk.\ntrace"} for row in rows]
    with pytest.raises(DataError, match=r"complete, and 9 failed, the first with: No disk\. See"):
        pareto_result([StudyResults(made.spec, failed)])


def test_what_is_asked_wrongly_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no metric 'acuracy'.*Did you mean 'accuracy'"):
        analysed(objectives={"acuracy": "max"})
    with pytest.raises(ConfigError, match="no such metric, only accuracy, plausibility"):
        analysed(constraints=["sid >= 0.5"])
    with pytest.raises(ConfigError, match="'accuracy:up' is not of the form METRIC:max or"):
        parse_objectives(["accuracy:up"])
    with pytest.raises(ConfigError, match="'accuracy' is given twice"):
        parse_objectives(["accuracy:max", "accuracy:min"])
    assert parse_objectives([]) is None


def test_several_studies_have_one_front() -> None:
    one = made_results(made_study("one"), FIGURES)
    better: dict[int, Figures] = {0: {"accuracy": [0.95, 0.95], "plausibility": [0.5, 0.5]}}
    two = made_results(made_study("two", seeds={"min": 2, "max": 4}), better)
    found = pareto_result([one, two])
    assert [found.label(i) for i in np.flatnonzero(found.front.on_front)] == ["one/1", "two/0"]
    assert why_not(found, 0) == "dominated by two/0: +10.0 accuracy, +20.0 plausibility"
    assert found.notes == ("seeds: 2 in one, 2 to 4 in two",)


@pytest.mark.parametrize(
    ("changes", "columns", "words"),
    [
        ({"protocol": "paper"}, {}, "protocol: validation in one, paper in two"),
        ({"pipeline": {"split": {"validation": 0.3}}}, {}, r"split.validation: 0.2 in one, 0.3"),
        ({"pipeline": {"embeddings": {"dataset": "birds-smoke"}}}, {},
         "embeddings.dataset: birds in one, birds-smoke in two"),
        ({}, {"fingerprint": "0" * 64}, "fingerprint of the embeddings birds/patch-descriptor"),
    ],
)  # fmt: skip
def test_studies_that_were_judged_otherwise_are_refused(
    changes: dict[str, Any], columns: dict[str, Any], words: str
) -> None:
    one = made_results(made_study("one"), FIGURES)
    two = made_results(made_study("two", **changes), FIGURES, **columns)
    with pytest.raises(ConfigError, match=f"were not judged alike:\n.*{words}"):
        pareto_result([one, two])


def test_other_objectives_must_be_settled_and_another_k_matters_to_sid_alone() -> None:
    one = made_results(made_study("one"), FIGURES, sid=0.5)
    two = made_results(
        made_study("two", pipeline={"evaluate": {"sid_k": 4}}, objectives={"accuracy": "max"}),
        FIGURES, sid=0.5,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"other objectives .*two: accuracy max.*--objective"):
        pareto_result([one, two])
    found = pareto_result([one, two], {"accuracy": "max"})
    assert "evaluate.sid_k: 5 in one, 4 in two" in found.notes
    with pytest.raises(ConfigError, match=r"evaluate\.sid_k: 5 in one, 4 in two"):
        pareto_result([one, two], {"accuracy": "max", "sid": "max"})


def test_the_front_as_files(tmp_path: Path) -> None:
    written = write_front(analysed(), tmp_path, {"s": {"front": {"finetune.l1_fm": 1.0}}})
    assert [path.name for path in written] == [
        "pareto.csv", "pareto.parquet", "pareto.png", "pareto_hypervolume.png",
        "pareto_importance.png",
    ]  # fmt: skip
    for path in written[2:]:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 5
    lines = list(csv.DictReader(written[0].read_text().splitlines()))
    table = pq.read_table(written[1]).to_pylist()
    assert [line["trial"] for line in lines] == ["0", "1", "2", "3"]
    assert [row["on_front"] for row in table] == [True, True, False, False]
    assert table[0]["accuracy"] == pytest.approx(0.85)
    assert table[0]["accuracy_standard_error"] == pytest.approx(0.05)
    assert table[2]["dominated_by"] == "trial 1"
    assert table[2]["why_not"].startswith("dominated by trial 1")
    assert float(lines[1]["finetune.l1_fm"]) == table[1]["finetune.l1_fm"] == 1


def test_a_parameter_called_as_a_column_takes_nothing_away(tmp_path: Path) -> None:
    space = {
        "trial": {"paths": ["finetune.l1_fm"], "values": [5, 6]},
        "accuracy": {"variants": {"low": {"dense.div": 0}, "high": {"dense.div": 1}}},
    }
    found = pareto_result([made_results(made_study(space=space), FIGURES)])
    for path in write_front(found, tmp_path)[:2]:
        lines = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else list(
            csv.DictReader(path.read_text().splitlines())
        )  # fmt: skip
        assert [int(line["trial"]) for line in lines] == [0, 1, 2, 3]
        assert float(lines[0]["accuracy"]) == pytest.approx(0.85)
        assert [float(line["space.trial"]) for line in lines] == [5, 5, 6, 6]
        assert [line["space.accuracy"] for line in lines] == ["low", "high"] * 2


def test_one_objective_and_nothing_whole_can_be_written(tmp_path: Path) -> None:
    alone = write_front(analysed(objectives={"accuracy": "max"}), tmp_path / "one")
    assert "pareto.png" not in [path.name for path in alone]
    made = made_results(made_study(seeds=3), FIGURES)  # no trial has three
    names = [path.name for path in write_front(pareto_result([made]), tmp_path / "none")]
    assert names == ["pareto.csv", "pareto.parquet", "pareto.png"]
