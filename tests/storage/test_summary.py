"""Rows to configurations: means, their uncertainty, and who may be on the front."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpmstudy.config import flatten, with_values
from storage.results import ResultTable, schema
from storage.study import StudySpec, grid, parse_study
from storage.study.space import settings
from storage.summary import belongs, estimate, searched_values, summarise


def study(**changes: Any) -> StudySpec:
    content = {
        "name": "s",
        "space": {
            "finetune.l1_fm": {"values": [0, 1, 2, 3]},
            "k": {"paths": ["select.per_class", "evaluate.sid_k"], "values": [5]},
        },
        "seeds": 2,
    }
    return parse_study(content | changes, "s.yaml")


def rows(
    tmp_path: Path, spec: StudySpec, figures: dict[int, list[tuple[float | None, float | None]]]
) -> list[dict[str, Any]]:
    """Return committed rows; `figures` has (accuracy, plausibility) of each trial's seeds."""
    table = ResultTable(tmp_path / "results")
    for trial, seeds in figures.items():
        config = with_values(spec.pipeline, settings(spec.parameters, grid(spec.parameters)[trial]))
        for seed, (accuracy, plausibility) in enumerate(seeds):
            row = {
                "study": "s",
                "trial": trial,
                "seed": seed,
                "status": "COMPLETE",
                **flatten(config),
                "accuracy": accuracy,
                "plausibility": plausibility,
                "test_accuracy": accuracy,
                "qp_gap": 0.01,
            }
            table.commit(row, schema(("test",)))
    return table.rows()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_mean_and_standard_error(values: list[float]) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    expected = np.std(values, ddof=1) / np.sqrt(len(values))
    assert found.standard_error == pytest.approx(expected, abs=1e-9)


def test_estimates_that_are_not_there() -> None:
    assert estimate([0.5]).mean == 0.5
    assert math.isnan(estimate([0.5]).standard_error)
    assert math.isnan(estimate([0.5, None]).mean)
    assert math.isnan(estimate([]).mean)
    assert estimate([0.5, 0.7]).shown("accuracy") == "60.0 ±10.0"
    assert estimate([0.5]).shown("test_sid") == "50.0"
    assert estimate([None]).shown("accuracy") == "-"
    assert estimate([1200, 1400.0]).shown("parameters") == "1,300 ±100"


def test_the_front_is_of_means(tmp_path: Path) -> None:
    spec = study()
    figures = {
        0: [(0.9, 0.2), (0.7, 0.4)],  # best accuracy
        1: [(0.7, 0.5), (0.7, 0.5)],
        2: [(0.9, 0.3), (0.3, 0.5)],  # dominated by 1, though its first seed is not
        3: [(0.5, 0.9), (0.6, 0.7)],
    }
    found = summarise(rows(tmp_path, spec, figures), spec)
    assert [c.trial for c in found] == [0, 1, 2, 3]
    assert [c.on_front for c in found] == [True, True, False, True]
    for c in found:
        expected = np.mean(figures[c.trial], axis=0)
        assert c.estimates["accuracy"].mean == pytest.approx(expected[0])
        assert c.estimates["plausibility"].mean == pytest.approx(expected[1])
        assert (c.complete, c.failed, c.errors) == (2, 0, ())
        assert c.searched == {"finetune.l1_fm": float(c.trial), "k": 5}
    names = list(found[0].estimates)
    assert names[:2] == ["accuracy", "plausibility"]
    assert {"test_accuracy", "qp_gap"} < set(names)
    assert not {"seed", "trial", "committed", "finetune.l1_fm"} & set(names)


def test_a_minimised_objective(tmp_path: Path) -> None:
    spec = study(objectives={"accuracy": "max", "plausibility": "min"})
    figures = {0: [(0.9, 0.1)] * 2, 1: [(0.8, 0.9)] * 2, 2: [(0.7, 0.05)] * 2}
    found = summarise(rows(tmp_path, spec, figures), spec)
    assert [c.on_front for c in found] == [True, False, True]


def test_unfinished_configurations_are_not_on_the_front(tmp_path: Path) -> None:
    spec = study()
    figures: dict[int, list[tuple[float | None, float | None]]] = {
        0: [(0.99, 0.99)],  # a seed is missing
        1: [(0.5, 0.5), (0.5, 0.5)],
        2: [(0.9, None), (0.9, 0.9)],  # no Plausibility for one seed
        3: [(0.99, 0.99)],
    }
    made = rows(tmp_path, spec, figures)
    made.append({**made[-1], "seed": 1, "status": "FAIL", "error": "broke", "accuracy": None})
    found = summarise(made, spec)
    assert [c.on_front for c in found] == [False, True, False, False]
    assert [(c.complete, c.failed) for c in found] == [(1, 0), (2, 0), (2, 0), (1, 1)]
    assert found[3].errors == ("broke",)
    assert found[3].estimates["accuracy"].mean == 0.99


def test_no_rows_and_only_failures(tmp_path: Path) -> None:
    spec = study()
    assert summarise([], spec) == []
    made = rows(tmp_path, spec, {0: [(0.1, 0.1)]})
    (found,) = summarise([{**made[0], "status": "FAIL", "error": "x"}], spec)
    assert math.isnan(found.estimates["accuracy"].mean)
    assert not found.on_front


def test_a_row_belongs_to_what_the_ledger_chose(tmp_path: Path) -> None:
    spec = study()
    (row,) = rows(tmp_path, spec, {1: [(0.1, 0.1)]})
    assert searched_values(row, spec) == {"finetune.l1_fm": 1.0, "k": 5}
    assert belongs(row, spec, {"finetune.l1_fm": 1, "k": 5})
    assert not belongs(row, spec, {"finetune.l1_fm": 2, "k": 5})
    assert not belongs({**row, "evaluate.sid_k": 4}, spec, {"finetune.l1_fm": 1, "k": 5})


def test_between_bounds_the_first_seeds_are_enough_unless_one_failed(tmp_path: Path) -> None:
    spec = study(seeds={"min": 2, "max": 4})
    figures = {0: [(0.5, 0.5)] * 3, 1: [(0.4, 0.6)] * 2, 2: [(0.9, 0.9)], 3: [(0.8, 0.8)] * 3}
    found = rows(tmp_path, spec, figures)
    failed = [
        row | {"status": "FAIL"} if row["trial"] == 3 and row["seed"] else row for row in found
    ]
    assert [c.on_front for c in summarise(found, spec)] == [False, False, False, True]
    assert [c.on_front for c in summarise(failed, spec)] == [True, True, False, False]


def test_what_a_configuration_does_not_vary_is_a_dash(tmp_path: Path) -> None:
    space = {
        "select.method": {"values": ["qpm", "none"]},
        "select.per_class": {"values": [3], "when": {"select.method": "qpm"}},
    }
    spec = study(space=space, seeds=1)
    found = summarise(rows(tmp_path, spec, {0: [(0.5, 0.5)], 1: [(0.5, 0.5)]}), spec)
    assert [tuple(c.searched.values()) for c in found] == [("qpm", 3), ("none", "-")]
