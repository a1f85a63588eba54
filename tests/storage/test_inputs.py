"""Dense models and other inputs on their way from a study to rows, tables and exported models."""

from pathlib import Path
from typing import Any

import pytest
import torch

from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import ConfigError
from qpmstudy.exported import load_model
from storage.export import export_study
from storage.results import Row
from storage.summary import summarise
from storage.table import make_table

METRICS = ("accuracy", "test_accuracy", "plausibility", "sid", "class_independence")


def rows(study: Any) -> list[Row]:
    return study.root.study(study.spec.name).results.rows()


def test_a_dense_models_row_is_that_of_its_own_evaluation(inputs: Any) -> None:
    for row in rows(inputs)[:2]:
        assert row["select.method"] == "none"
        assert {stage for stage in ("dense", "evaluate_dense") if row[f"key.{stage}"]} == {
            "dense",
            "evaluate_dense",
        }
        for stage in ("select", "finetune", "evaluate"):
            assert row[f"key.{stage}"] is None
        for name in METRICS:
            assert row[name] is not None
            assert row[name] == row[f"dense_{name}"]
        assert row["qp_solver"] is row["qp_objective"] is None


def test_compactness_stands_in_the_row(inputs: Any) -> None:
    probe, frozen, cls, _, concat = rows(inputs)
    for row in (probe, frozen):  # 96 channels, 4 classes, a bias each
        assert (row["n_features"], row["features_per_class"]) == (96, 96)
        assert row["parameters"] == 4 * 96 + 4
    layer = 12 * 5 + 5 + 2 * 5  # the second: only the selected rows
    for row, channels in ((cls, 96), (concat, 192)):
        assert (row["n_features"], row["features_per_class"]) == (5, 2)
        assert row["parameters"] == channels * 12 + 12 + 2 * 12 + layer + 4 * 2
    assert all(row["seconds_per_epoch"] > 0 for row in rows(inputs))


def test_the_seconds_are_the_median_epoch_of_the_last_phase(inputs: Any) -> None:
    for row in rows(inputs):
        stage = "finetune" if row["key.finetune"] else "dense"
        history: Any = inputs.root.artifacts.facts(stage, row[f"key.{stage}"])["history"]
        seconds = sorted(record["seconds"] for record in history)
        middle = (seconds[(len(seconds) - 1) // 2] + seconds[len(seconds) // 2]) / 2
        assert row["seconds_per_epoch"] == pytest.approx(middle)


def test_a_study_with_dense_models_is_summarised_and_tabled(inputs: Any) -> None:
    found = summarise(rows(inputs), inputs.spec)
    assert [c.searched["method"] for c in found] == ["probe", "frozen", "cls", "both", "concat"]
    assert any(c.on_front for c in found)
    spec = inputs.spec.model_copy(
        update={"table": inputs.spec.table.model_copy(update={"metrics": ("parameters",)})}
    )
    cells = [row[0].mean for row in make_table(rows(inputs), spec).cells]
    assert cells == [row["parameters"] for row in rows(inputs)]


@pytest.mark.parametrize("trial", [2, 3, 4])
def test_other_inputs_survive_the_way_to_an_image(
    inputs: Any, birds: ImageDataset, tmp_path: Path, trial: int
) -> None:
    (path,) = export_study(inputs.root, inputs.spec, tmp_path / "out", (str(trial),))
    model = load_model(path)
    assert model.classifier.adapter.reads_cls
    row = rows(inputs)[trial]
    evaluated = inputs.root.artifacts.read("evaluate", row["key.evaluate"]).tensors
    prediction = model.predict(birds.image(int(evaluated["index.test"][2])))
    torch.testing.assert_close(prediction.logits, evaluated["logits.test"][2], rtol=1e-4, atol=1e-4)
    total = prediction.contributions.sum(1) + prediction.bias
    torch.testing.assert_close(total, prediction.logits, rtol=1e-5, atol=1e-5)
    assert prediction.feature_maps.shape == (256, 5)


def test_a_dense_model_is_not_exported(inputs: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"Trial 0, 1 of 'inputs'.*no explanation to export\.$"):
        export_study(inputs.root, inputs.spec, out, ("0", "1"))
    with pytest.raises(ConfigError, match=r"Trial 1 .*Export the others: --pick 2 --pick 4$"):
        export_study(inputs.root, inputs.spec, out, ("2", "1", "4"))
    assert not out.exists()
