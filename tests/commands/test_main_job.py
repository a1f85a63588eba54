"""The main job through the command line: study, results, TensorBoard, export, prediction."""

import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from command import Finished, here, refused, run, smoke_study
from qpmstudy.config import flatten
from qpmstudy.stage_graph import STAGES
from storage.layout import StorageRoot
from storage.spec_file import stored_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_configuration_and_seed_has_one_complete_row(finished: Finished) -> None:
    table = pq.read_table(finished.root / "smoke" / "results")
    rows = table.to_pylist()
    assert sorted((row["trial"], row["seed"]) for row in rows) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    spec = stored_spec(StorageRoot(finished.root).study("smoke"))
    for row in rows:
        assert row["status"] == "COMPLETE"
        assert row["finetune.l1_fm"] == [0.0, 2.0][row["trial"]]
        assert all(row[path] is not None for path in flatten(spec.pipeline))
        for metric in ("accuracy", "plausibility", "sid", "test_accuracy", "shift_accuracy"):
            assert 0 <= row[metric] <= 1
            assert 0 <= row[f"dense_{metric}"] <= 1
        assert all(len(row[f"key.{stage}"]) == 64 for stage in STAGES)
        assert all(row[f"seconds.{stage}"] > 0 for stage in STAGES)
        assert row["qp_solver"] == "lagrangian"
        assert row["qp_bound"] >= row["qp_objective"]


def test_stages_before_the_searched_value_are_computed_once_a_seed(finished: Finished) -> None:
    artifacts = finished.root / "_artifacts"
    computed = {stage: len(list((artifacts / stage).glob("*/*"))) for stage in STAGES}
    assert computed == {
        "dense": 2, "evaluate_dense": 2, "select": 2, "finetune": 4, "evaluate": 4,
    }  # fmt: skip
    assert "dense           computed    2   reused    2   of 4 requests" in finished.launched.out
    rows = pq.read_table(finished.root / "smoke" / "results").to_pylist()
    for seed in (0, 1):
        of_seed = [row for row in rows if row["seed"] == seed]
        assert len({row["key.dense"] for row in of_seed}) == 1
        assert sum(row["reused.dense"] for row in of_seed) == 1


def test_output_is_quiet_and_shows_the_front(finished: Finished) -> None:
    assert "on the front" in finished.launched.out
    for chatter in ("INFO", "Trial status", "raylet", "[I 20", "FutureWarning"):
        assert chatter not in finished.launched.out + finished.launched.err
    assert finished.launched.err == ""


def test_tensorboard_reads_curves_metrics_hparams_and_images(finished: Finished) -> None:
    runs = sorted((finished.root / "smoke" / "tensorboard").glob("trial-*/seed-*"))
    assert [f"{run.parent.name}/{run.name}" for run in runs] == [
        "trial-00000/seed-0", "trial-00000/seed-1", "trial-00001/seed-0", "trial-00001/seed-1",
    ]  # fmt: skip
    rows = pq.read_table(finished.root / "smoke" / "results").to_pylist()
    for events, row in zip(runs, rows, strict=True):
        reader = EventAccumulator(str(events), size_guidance={"images": 0})
        reader.Reload()
        for phase in ("dense", "finetune"):
            for curve in ("loss", "cross_entropy", "diversity", "l1_fm", "l1_fv", "lr"):
                assert [e.step for e in reader.Scalars(f"{phase}/{curve}")] == [1, 2, 3, 4]
            for curve in ("train_accuracy", "validation_accuracy"):
                assert all(0 <= e.value <= 1 for e in reader.Scalars(f"{phase}/{curve}"))
        for curve in ("objective", "bound", "gap"):
            values = [e.value for e in reader.Scalars(f"select/{curve}")]
            assert values == sorted(values, reverse=curve != "objective")
        assert reader.Scalars("select/objective")[-1].value == pytest.approx(row["qp_objective"])
        assert reader.Scalars("select/bound")[-1].value == pytest.approx(row["qp_bound"])
        (shown,) = reader.Scalars("metrics/accuracy")
        assert shown.value == pytest.approx(row["accuracy"])
        (card,) = reader.Tensors("card")
        text = card.tensor_proto.string_val[0].decode()
        assert f"# smoke, trial {row['trial']}, seed {row['seed']}" in text
        assert f"| finetune.l1_fm | {row['finetune.l1_fm']:g} |" in text
        final, dense = (f"{100 * row[name]:.1f}" for name in ("accuracy", "dense_accuracy"))
        assert f"| accuracy | validation | {final} | {dense} |" in text
        assert "solver lagrangian" in text
        assert f"`{row['command']}`" in text
        assert reader.Tags()["images"] == (["overlays"] if events.name == "seed-0" else [])


def test_launching_again_runs_nothing(finished: Finished) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.root.rglob("*.safetensors")}
    start = time.monotonic()
    again = run("study", "launch", finished.study, "--root", finished.root)
    assert again.code == 0
    assert time.monotonic() - start < 20
    assert "no stage was run" in again.out
    assert before == {p: p.stat().st_mtime_ns for p in finished.root.rglob("*.safetensors")}


CIRCUMSTANCES = ("committed", "study", "reused.", "command", "host")
"""Columns that say when, where and for whom, not what."""


def test_a_study_whose_stages_are_stored_needs_no_cluster(
    finished: Finished, tmp_path: Path
) -> None:
    study = smoke_study(tmp_path, "again", epochs=4)
    study.write_text(study.read_text() + "tensorboard: {images: 1}\n")
    launched = here("study", "launch", study, "--root", finished.root)
    assert launched.code == 0, launched.err
    assert "[2/2] trial 1" in launched.out
    assert "of memory" not in launched.out  # that is said when a cluster starts
    before, after = (
        pq.read_table(finished.root / name / "results").to_pylist() for name in ("smoke", "again")
    )
    assert len(before) == len(after) == 4
    for one, other in zip(*(sorted(r, key=_by_run) for r in (before, after)), strict=True):
        assert all(other[f"reused.{stage}"] for stage in STAGES)
        kept = [name for name in one if not name.startswith(CIRCUMSTANCES)]
        assert {name: one[name] for name in kept} == {name: other[name] for name in kept}
    tensorboard = finished.root / "again" / "tensorboard"
    (capped,) = (tensorboard / "trial-00001" / "seed-0").iterdir()
    reader = EventAccumulator(str(capped), size_guidance={"images": 0})
    reader.Reload()
    assert reader.Tags()["images"] == []
    (events,) = (tensorboard / "trial-00000" / "seed-0").iterdir()
    reader = EventAccumulator(str(events), size_guidance={"images": 0})
    reader.Reload()
    assert [e.step for e in reader.Scalars("finetune/loss")] == [1, 2, 3, 4]
    assert len(reader.Images("overlays")) == 1


def _by_run(row: dict[str, object]) -> tuple[object, object]:
    return row["trial"], row["seed"]


def test_status_list_and_pareto(finished: Finished) -> None:
    status = here("study", "status", "smoke", "--root", finished.root)
    assert "smoke: done, 4 of 4 runs" in status.out
    listing = here("study", "list", "--root", finished.root)
    assert "4/4" in listing.out
    pareto = here("study", "pareto", "smoke", "--root", finished.root)
    assert pareto.code == 0
    with Image.open(finished.root / "smoke" / "pareto.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5  # something is drawn on it
    header = (finished.root / "smoke" / "pareto.csv").read_text().splitlines()[0]
    assert "plausibility_standard_error" in header
    for words in ("hypervolume: ", "Health checks", "2 configurations are too few", "2 seeds are"):
        assert words in pareto.out


def test_a_front_under_constraints_and_of_other_objectives(
    finished: Finished, tmp_path: Path
) -> None:
    asked = ("study", "pareto", "smoke", "--root", finished.root, "--out", tmp_path)
    bounded = here(*asked, "--constraint", "accuracy >= 99.9%", "--all")
    assert bounded.code == 0
    assert "0 of 2 configurations keep to accuracy >= 0.999" in bounded.out
    assert "problem: no configuration keeps to accuracy >= 0.999" in bounded.out
    assert "trial 0 breaks accuracy >= 0.999 (accuracy " in bounded.out
    other = here(*asked, "--objective", "sid:max", "--objective", "test_accuracy:max")
    assert other.code == 0
    columns = pq.read_table(tmp_path / "pareto.parquet").column_names
    assert {"sid", "why_not", "front_probability", "dense_accuracy"} <= set(columns)
    for wrong, words in (
        (("--constraint", "accuracy is 1"), "METRIC COMPARISON NUMBER"),
        (("--objective", "sid"), "METRIC:max or METRIC:min"),
        (("smoke",), "named twice"),
        (("nope",), "no study 'nope'"),
    ):
        refused(here(*asked, *wrong), 1 if wrong == ("nope",) else 2, words)


def test_inference_equals_evaluation_and_explains(finished: Finished) -> None:
    model = sorted(finished.models.iterdir())[0]
    record = json.loads((model / "model.json").read_text())
    storage = StorageRoot(finished.root)
    (row,) = [
        row
        for row in storage.study("smoke").results.rows()
        if (row["trial"], row["seed"]) == (record["trial"], record["seed"])
    ]
    evaluated = storage.artifacts.read("evaluate", row["key.evaluate"])
    images = sorted((finished.root / "_datasets" / "birds-smoke" / "images").glob("*/*.png"))
    positions = evaluated.tensors["index.test"]
    # stores keep the order of images.txt
    lines = (finished.root / "_datasets" / "birds-smoke" / "images.txt").read_text().splitlines()
    names = [line.split()[1] for line in lines]
    assert len(names) == len(images)
    folder = finished.root / "_datasets" / "birds-smoke" / "images"
    chosen = [0, len(positions) // 2, len(positions) - 1]
    paths = [folder / names[int(positions[i])] for i in chosen]
    explained = finished.models.parent / "explained"
    result = run("infer", model, *paths, "--format", "json", "--top", 999)
    assert result.code == 0, result.err
    for i, line in zip(chosen, result.out.splitlines(), strict=True):
        top = {one["class"]: one for one in json.loads(line)["top"]}
        said = torch.tensor([top[name]["probability"] for name in record["class_names"]])
        expected = evaluated.tensors["logits.test"][i].softmax(0)
        assert torch.allclose(said, expected, atol=1e-5, rtol=0)
        for one in top.values():
            total = sum(one["contributions"].values())
            assert total == pytest.approx(one["logit"], rel=1e-5, abs=1e-5)
    assert here("verify", model).code == 0
    result = here("infer", model, paths[0], "--explain", explained)
    assert result.code == 0, result.err
    features = sorted(explained.glob("feature-*.png"))
    assert len(features) == record["configuration"]["select.per_class"]
    for picture in (*features, explained / "combined.png"):
        with Image.open(picture) as opened:
            assert opened.size == (448, 448)
    assert "because: feature" in result.out
