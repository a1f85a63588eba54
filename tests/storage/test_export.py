"""From a finished study to models that a person can use, or to an error that leaves nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qpmstudy.backbones.patch_descriptor import PatchDescriptor
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.exported import CONTENT, load_model
from storage.export import export_study
from storage.model_card import _selection
from storage.results import schema
from storage.study import parse_study
from storage.summary import summarise

SUMS = "SHA256SUMS"
QP = ("solver", "status", "objective", "bound", "gap", "fallback")


@pytest.fixture(scope="module")
def models(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("models")
    exported: list[Path] = export_study(finished.root, finished.spec, out)
    return exported


def rows(finished: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = finished.root.study(finished.spec.name).results.rows()
    return found


def test_each_configuration_on_the_front_gives_its_best_seed(
    finished: Any, models: list[Path]
) -> None:
    """Best on the split that was searched on: validation, never test."""
    configurations = summarise(rows(finished), finished.spec)
    expected = []
    for c in configurations:
        if c.on_front:
            mine = [row for row in rows(finished) if row["trial"] == c.trial]
            best = max(mine, key=lambda row: row["accuracy"])
            expected.append(f"tiny-trial{c.trial}-seed{best['seed']}")
    assert [path.name for path in models] == expected
    assert expected


def test_the_best_seed_does_not_depend_on_test(own_copy: Any, tmp_path: Path) -> None:
    table = own_copy.root.study("tiny").results
    for row in table.rows():
        seed = row["seed"]
        changed = row | {"accuracy": 0.9 - 0.1 * seed, "test_accuracy": 0.1 + 0.5 * seed}
        table.commit(changed, schema(("test", "shift")))
    (path,) = export_study(own_copy.root, own_copy.spec, tmp_path / "validation", ("0",))
    assert path.name == "tiny-trial0-seed0"
    minimised = parse_study(
        own_copy.spec.canonical() | {"objectives": {"accuracy": "min", "sid": "max"}}, "x"
    )
    (path,) = export_study(own_copy.root, minimised, tmp_path / "minimised", ("0",))
    assert path.name == "tiny-trial0-seed1"


def test_predictions_equal_the_evaluation(
    finished: Any, models: list[Path], birds: ImageDataset
) -> None:
    """From image file to logits, the exported model says what the evaluate stage measured."""
    model = load_model(models[0])
    (row,) = [
        row
        for row in rows(finished)
        if models[0].name == f"tiny-trial{row['trial']}-seed{row['seed']}"
    ]
    evaluated = finished.root.artifacts.read("evaluate", row["key.evaluate"]).tensors
    index, logits = evaluated["index.test"], evaluated["logits.test"]
    for position in (0, 5, 11):
        prediction = model.predict(birds.image(int(index[position])))
        torch.testing.assert_close(prediction.logits, logits[position], rtol=1e-4, atol=1e-4)
        # rows of contributions add up to the logits, feature by feature
        total = prediction.contributions.sum(1)
        torch.testing.assert_close(total, prediction.logits, rtol=1e-5, atol=1e-5)
        assert (prediction.contributions[~prediction.mask] == 0).all()
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("trial", [0, 1])
def test_a_model_without_a_certificate(
    unproven: Any, birds: ImageDataset, tmp_path: Path, trial: int
) -> None:
    """SLDD and Q-SENN: real weights and a bias, which survive the way from study to image."""
    (path,) = export_study(unproven.root, unproven.spec, tmp_path / "out", (str(trial),))
    record = json.loads((path / "model.json").read_text())
    method, title = (("sldd", "SLDD-Model"), ("qsenn", "Q-SENN"))[trial]
    assert record["certificate"] is None
    card = (path / "MODEL_CARD.md").read_text()
    assert f"{title} classifier of 4 classes by 5 features" in card
    assert f"Selection by {method}, which proves nothing about its answer." in card
    model = load_model(path)
    assert set(record["classes"]) == set(record["class_names"])
    for weights, name in zip(model.classifier.weight, record["class_names"], strict=True):
        used = [record["selected"][column] for column in weights.nonzero().flatten().tolist()]
        assert record["classes"][name] == used
    row = rows(unproven)[trial]
    evaluated = unproven.root.artifacts.read("evaluate", row["key.evaluate"]).tensors
    prediction = model.predict(birds.image(int(evaluated["index.test"][2])))
    torch.testing.assert_close(prediction.logits, evaluated["logits.test"][2], rtol=1e-4, atol=1e-4)
    total = prediction.contributions.sum(1) + prediction.bias
    torch.testing.assert_close(total, prediction.logits, rtol=1e-5, atol=1e-5)
    assert prediction.bias.any()


def test_rows_of_methods_without_a_certificate(unproven: Any) -> None:
    assert [row["select.method"] for row in rows(unproven)] == ["sldd", "qsenn"]
    for row in rows(unproven):
        assert {row[f"qp_{name}"] for name in QP} == {None}
        assert row["accuracy"] is not None
        assert row["dense_dead_features"] is not None


def test_a_card_names_what_took_over() -> None:
    certificate = {"solver": "lagrangian", "objective": 12.5, "gap": 0.01, "fallback": "no license"}
    assert _selection("qpm", certificate) == (
        "Selection by lagrangian: objective 12.5, proven gap 1.00%. "
        "It took over from another solver: no license"
    )
    assert _selection("qpm", certificate | {"fallback": None, "gap": None}) == (
        "Selection by lagrangian: objective 12.5, proven gap not bounded."
    )


def test_the_record_is_the_whole_story(finished: Any, models: list[Path]) -> None:
    record = json.loads((models[0] / "model.json").read_text())
    assert record["configuration"]["adapter.features"] == 10
    assert record["search_split"] == "validation"
    assert record["certificate"]["solver"] == "lagrangian"
    assert set(record["certificate"]) == {*QP, "seconds"}
    assert set(record["metrics"]) == {"train", "validation", "test", "shift"}
    assert len(record["selected"]) == 5
    assert set(record["classes"]) == set(record["class_names"])
    model = load_model(models[0])
    for label, name in enumerate(record["class_names"]):
        used = model.classifier.weight[label].nonzero().flatten().tolist()
        assert len(used) == 2
        assert [record["selected"][column] for column in used] == record["classes"][name]


def test_the_card_says_what_it_is_worth(models: list[Path]) -> None:
    card = (models[0] / "MODEL_CARD.md").read_text()
    record = json.loads((models[0] / "model.json").read_text())
    assert "chosen on the validation split; the test split took no part" in card
    assert "Selection by lagrangian: objective" in card
    assert "proven gap" in card
    assert "no figure is comparable with CUB" in card
    for split in ("validation", "test", "shift"):
        figures = record["metrics"][split]
        low, high = record["intervals"][split]["accuracy"]
        assert low < figures["accuracy"] < high
        cell = f"{figures['accuracy']:.3f} [{low:.3f}, {high:.3f}]"
        assert f"| {split} | {record['images'][split]} | {cell} |" in card
    assert f"| accuracy | 2 | {record['over_seeds']['accuracy']['value']:.3f} [" in card
    for heading in ("Data", "What it is worth", "Selection", "Use", "Limits", "Making it again"):
        assert f"\n## {heading}" in card
    assert "## Limits\n\n- It knows 4 classes and nothing else" in card
    assert record["example"]["image"] in card


def test_the_card_of_the_papers_protocol_warns(own_copy: Any, tmp_path: Path) -> None:
    paper = own_copy.spec.model_copy(update={"protocol": "paper"})
    (path,) = export_study(own_copy.root, paper, tmp_path / "out", ("0",))
    card = (path / "MODEL_CARD.md").read_text()
    assert "chosen on the test split (protocol: paper), so its test figures are optimistic" in card


@pytest.mark.parametrize("file", [*CONTENT, SUMS])
def test_a_changed_byte_is_refused(own_copy: Any, tmp_path: Path, file: str) -> None:
    (folder,) = export_study(own_copy.root, own_copy.spec, tmp_path / "out", ("0",))
    path = folder / file
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        broken = bytearray(whole)
        broken[position] ^= 0x80
        path.write_bytes(broken)
        with pytest.raises(DataError, match="is damaged"):
            load_model(folder)
    path.write_bytes(whole[:-2])
    with pytest.raises(DataError, match="is damaged"):
        load_model(folder)
    path.unlink()
    with pytest.raises(DataError, match=r"is missing|is no exported model"):
        load_model(folder)


def test_other_backbone_weights_are_refused(
    models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(self: PatchDescriptor) -> None:
        self.weight_hash = "f" * 64

    monkeypatch.setattr(PatchDescriptor, "__init__", other)
    with pytest.raises(DataError, match=r"weights here are ffffffffffff.*meaningless"):
        load_model(models[0])


def test_an_existing_folder_is_not_overwritten(own_copy: Any, tmp_path: Path) -> None:
    """And no other model is written beside it."""
    taken = tmp_path / "out" / "tiny-trial1-seed0"
    for row in rows(own_copy):
        (tmp_path / "out" / f"tiny-trial1-seed{row['seed']}").mkdir(parents=True, exist_ok=True)
    with pytest.raises(ConfigError, match=r"tiny-trial1-seed\d exists already.*another --out"):
        export_study(own_copy.root, own_copy.spec, tmp_path / "out", ("0", "1"))
    assert list(taken.iterdir()) == []
    assert {path.name[:11] for path in (tmp_path / "out").iterdir()} == {"tiny-trial1"}


def test_a_damaged_stage_leaves_no_model_at_all(own_copy: Any, tmp_path: Path) -> None:
    for row in rows(own_copy):
        if row["trial"] == 1:
            path = own_copy.root.artifacts.path("evaluate", row["key.evaluate"])
            (path / "facts.json").write_text("{}")
    with pytest.raises(DataError, match=r"facts.json is damaged"):
        export_study(own_copy.root, own_copy.spec, tmp_path / "out", ("0", "1"))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_trial_named_twice_is_exported_once(own_copy: Any, tmp_path: Path) -> None:
    assert len(export_study(own_copy.root, own_copy.spec, tmp_path / "out", ("1", "1"))) == 1


def test_trials_that_are_not_there(finished: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Trial 7 of 'tiny' has no complete run.*one: 0, 1\."):
        export_study(finished.root, finished.spec, tmp_path, ("7",))


def test_a_study_without_a_front(own_copy: Any, tmp_path: Path) -> None:
    for row in rows(own_copy):
        own_copy.root.study("tiny").results.path(row["trial"], 1).unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"no configuration with all 2 seeds complete"):
        export_study(own_copy.root, own_copy.spec, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_carry_both_phases_and_the_certificate(finished: Any) -> None:
    for row in rows(finished):
        for name in ("accuracy", "dense_accuracy", "test_accuracy", "dense_shift_accuracy"):
            assert 0 <= row[name] <= 1
        assert row["qp_fallback"] is None
        assert row["qp_objective"] <= row["qp_bound"] + 1e-9
        assert row["qp_gap"] == pytest.approx(
            (row["qp_bound"] - row["qp_objective"]) / abs(row["qp_objective"]), abs=1e-9
        )
        facts = finished.root.artifacts.facts("evaluate", row["key.evaluate"])
        assert row["accuracy"] == facts["metrics"]["validation"]["accuracy"]
        assert row["dead_features"] == facts["metrics"]["train"]["dead_features"]


def test_a_split_that_the_embeddings_lack(finished: Any) -> None:
    from storage.rows import stage_columns

    row = rows(finished)[0]
    keys = {name[4:]: value for name, value in row.items() if name.startswith("key.")}
    with pytest.raises(DataError, match=r"split 'paper', but the embeddings have only shift, test"):
        stage_columns(finished.root.artifacts, keys, "paper")
