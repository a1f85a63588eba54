"""Each stage: what it stores is what it says, and it reads nothing it should not."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.embeddings import Embeddings
from qpmstudy.metrics import patch_contextualisation, plausibility
from qpmstudy.pipeline import run_pipeline, run_stage
from qpmstudy.stages import StageContext, StageOutput

Outputs = dict[str, StageOutput]


def test_dense_divides_the_training_images(embeddings: Embeddings, outputs: Outputs) -> None:
    tensors = outputs["dense"].tensors
    train, held = (tensors[f"index.{name}"].numpy() for name in ("train", "validation"))
    assert sorted([*train, *held]) == embeddings.indices("train").tolist()
    assert np.bincount(embeddings.labels[held]).tolist() == [2] * 6
    assert np.bincount(embeddings.labels[train]).tolist() == [8] * 6
    np.testing.assert_array_equal(tensors["labels"].numpy(), embeddings.labels[train])


def test_dense_features_are_those_of_the_stored_model(
    embeddings: Embeddings, outputs: Outputs
) -> None:
    tensors = outputs["dense"].tensors
    model = outputs["dense"].classifier()
    assert not model.training
    with torch.inference_mode():
        output = model(torch.from_numpy(embeddings.tokens(tensors["index.train"].numpy())).float())
    torch.testing.assert_close(output.feature_vector, tensors["features"], rtol=1e-5, atol=1e-6)


def test_selection_is_a_certified_assignment(outputs: Outputs) -> None:
    tensors, facts = outputs["select"].tensors, outputs["select"].facts
    selected, weight = tensors["selected"], tensors["weight"]
    assert selected.shape == (6,)
    assert (selected.diff() > 0).all()
    assert 0 <= int(selected.min()) <= int(selected.max()) < 16
    assert set(weight.unique().tolist()) == {0.0, 1.0}
    assert weight.sum(1).tolist() == [2] * 6
    assert len({tuple(row) for row in weight.tolist()}) == 6
    assert not tensors["bias"].any()
    objective, bound, gap = (float(str(facts[name])) for name in ("objective", "bound", "gap"))
    assert bound >= objective - 1e-6
    assert gap == pytest.approx((bound - objective) / abs(objective), abs=1e-9)
    assert facts["solver"] == "lagrangian"
    assert facts["method"] == "qpm"
    assert facts["fallback"] is None


def test_the_finetuned_head_is_the_assignment(outputs: Outputs) -> None:
    model = outputs["finetune"].classifier()
    select, dense = outputs["select"].tensors, outputs["dense"].tensors
    assert torch.equal(model.weight, select["weight"])
    assert set(model.weight.unique().tolist()) == {0.0, 1.0}
    features = dense["features"][:, select["selected"]]
    torch.testing.assert_close(model.head.mean, features.mean(0))
    torch.testing.assert_close(model.head.std, features.std(0, correction=0))
    assert model.adapter.features == 6
    assert torch.equal(outputs["finetune"].tensors["selected"], select["selected"])
    for name in ("train", "validation"):
        index = f"index.{name}"
        assert torch.equal(outputs["finetune"].tensors[index], dense[index])


def test_finetuning_starts_from_the_selected_dense_features(
    tiny_config: PipelineConfig,
    embeddings: Embeddings,
    outputs: Outputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a single step the maps are the dense model's, the logits the sum of z-scores."""
    module = importlib.import_module("qpmstudy.stages.finetune")
    monkeypatch.setattr(module, "train", lambda *_: [])
    start = run_stage("finetune", tiny_config, embeddings, outputs, 0).classifier()
    index = outputs["dense"].tensors["index.train"].numpy()
    tokens = torch.from_numpy(embeddings.tokens(index)).float()
    selected = outputs["select"].tensors["selected"]
    with torch.inference_mode():
        before, after = outputs["dense"].classifier()(tokens), start(tokens)
    torch.testing.assert_close(after.feature_maps, before.feature_maps[:, :, selected])
    vector = before.feature_vector[:, selected]
    scores = (vector - vector.mean(0)) / vector.std(0, correction=0).clamp(1e-6)
    expected = scores @ outputs["select"].tensors["weight"].T
    torch.testing.assert_close(after.logits, expected, rtol=1e-4, atol=1e-4)


def test_finetuning_keeps_the_head_and_trains_the_adapter(outputs: Outputs) -> None:
    dense, tuned = outputs["dense"].tensors, outputs["finetune"].tensors
    first = "classifier.adapter.layers.0.linear.weight"
    assert not torch.equal(dense[first], tuned[first])
    assert not any(name.startswith("classifier.head.bias") for name in tuned)


def test_what_evaluation_reports_is_what_it_stores(
    embeddings: Embeddings, outputs: Outputs
) -> None:
    output = outputs["evaluate"]
    metrics = output.facts["metrics"]
    assert isinstance(metrics, dict)
    model = outputs["finetune"].classifier()
    for split in ("validation", "test", "shift"):
        index, logits = (output.tensors[f"{kind}.{split}"] for kind in ("index", "logits"))
        if split != "validation":
            assert index.tolist() == embeddings.indices(split).tolist()
        labels = torch.from_numpy(embeddings.labels[index.numpy()])
        hits = (logits.argmax(1) == labels).float().mean()
        assert metrics[split]["accuracy"] == pytest.approx(float(hits))
        with torch.inference_mode():
            found = model(torch.from_numpy(embeddings.tokens(index.numpy())).float())
        torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-4)
        assert embeddings.masks is not None
        expected = plausibility(
            found.feature_maps,
            model.weight,
            logits.argmax(1),
            embeddings.masks[index.numpy()],
            embeddings.grid,
        )
        assert metrics[split]["plausibility"] == pytest.approx(expected, abs=1e-5)
    assert output.facts["sid_k"] == 2  # no class has five features
    assert outputs["evaluate_dense"].facts["sid_k"] == 5


def test_classes_add_up_to_their_split(embeddings: Embeddings, outputs: Outputs) -> None:
    output = outputs["evaluate"]
    metrics = output.facts["metrics"]
    assert isinstance(metrics, dict)
    for split in ("train", "validation", "test", "shift"):
        labels = embeddings.labels[output.tensors[f"index.{split}"].numpy()]
        shares = np.bincount(labels, minlength=6) / len(labels)
        values = metrics[split]
        if split == "train":
            values = {name: values[f"train_{name}"] for name in ("accuracy", "plausibility")}
        for name in ("accuracy", "plausibility"):
            each = output.tensors[f"class_{name}.{split}"].numpy()
            assert float(each @ shares) == pytest.approx(values[name], abs=1e-6)


def test_maps_without_evidence_are_counted(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    """A class without a weight has an empty map in every image, and Plausibility 0."""
    tensors = dict(outputs["finetune"].tensors)
    tensors["classifier.head.weight"] = torch.zeros_like(tensors["classifier.head.weight"])
    idle = StageOutput(tensors, outputs["finetune"].facts)
    evaluated = run_stage("evaluate", tiny_config, embeddings, {"finetune": idle}, 0)
    metrics = evaluated.facts["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["test"]["empty_maps"] == len(embeddings.indices("test"))
    assert metrics["test"]["plausibility"] == 0
    assert metrics["test"]["sid"] is None


def test_contextualisation_is_that_of_the_splits_tokens(
    embeddings: Embeddings, tiny_config: PipelineConfig, outputs: Outputs
) -> None:
    other = replace(embeddings, cls=embeddings.patches[1][:1, 0].repeat(96, 0))
    dense = {"dense": outputs["dense"]}
    metrics = run_stage("evaluate_dense", tiny_config, other, dense, 0).facts["metrics"]
    assert isinstance(metrics, dict)
    for split in ("test", "shift"):
        index = other.indices(split)
        wanted = patch_contextualisation(torch.from_numpy(other.tokens(index)), other.cls[index])
        assert abs(wanted) < 0.99
        assert metrics[split]["patch_contextualisation"] == pytest.approx(wanted, abs=1e-9)


def test_evaluation_keeps_what_explanations_need(embeddings: Embeddings, outputs: Outputs) -> None:
    tensors, facts = outputs["evaluate"].tensors, outputs["evaluate"].facts
    index = tensors["overlay.index"].tolist()
    assert tensors["overlay.maps"].shape == (3, 16, 6)
    assert facts["overlay_ids"] == [embeddings.ids[i] for i in index]
    assert facts["overlay_labels"] == embeddings.labels[index].tolist()
    assert len(set(embeddings.labels[index].tolist())) == 3
    assert set(index) <= set(outputs["dense"].tensors["index.validation"].tolist())
    assert tensors["peak"].shape == (6,)
    assert (tensors["peak"] >= 0).all()
    assert facts["class_names"] == list(embeddings.class_names)


def test_everything_is_trained_on_when_nothing_is_held_out(
    tiny_config: PipelineConfig, embeddings: Embeddings
) -> None:
    config = with_values(
        tiny_config, {"split.validation": 0.0, "dense.epochs": 1, "finetune.epochs": 1}
    )
    outputs = run_pipeline(config, embeddings, 0)
    assert len(outputs["dense"].tensors["index.train"]) == 60
    assert len(outputs["dense"].tensors["index.validation"]) == 0
    metrics = outputs["evaluate"].facts["metrics"]
    assert isinstance(metrics, dict)
    assert set(metrics) == {"train", "test", "shift"}
    history = outputs["dense"].facts["history"]
    assert isinstance(history, list)
    assert "validation_accuracy" not in history[0]


def test_a_store_without_masks_or_test_images(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    only_train = np.where(embeddings.splits == "train", "train", "shift")
    other = replace(embeddings, masks=None, splits=only_train)
    evaluated = run_stage("evaluate", tiny_config, other, outputs, 0)
    metrics = evaluated.facts["metrics"]
    assert isinstance(metrics, dict)
    assert set(metrics) == {"train", "validation", "shift"}
    for name in ("plausibility", "plausibility_shifted", "empty_maps"):
        assert metrics["validation"][name] is None
    assert metrics["train"]["train_plausibility"] is None
    assert "class_accuracy.shift" in evaluated.tensors
    assert "class_plausibility.shift" not in evaluated.tensors
    assert metrics["validation"]["accuracy"] == 1 or metrics["validation"]["accuracy"] > 0.5


def test_read_only_shared_memory_is_enough(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    """Arrays of an object store cannot be written to; nothing tries, nothing warns."""
    frozen = replace(
        embeddings,
        patches=[shard.copy() for shard in embeddings.patches],
        labels=embeddings.labels.copy(),
        cls=embeddings.cls.copy(),
        masks=None if embeddings.masks is None else embeddings.masks.copy(),
    )
    assert frozen.masks is not None
    for array in (*frozen.patches, frozen.labels, frozen.cls, frozen.masks):
        array.flags.writeable = False
    config = with_values(tiny_config, {"dense.epochs": 1})
    run_stage("dense", config, frozen, {}, 0)
    evaluated = run_stage("evaluate", tiny_config, frozen, outputs, 0)
    assert evaluated.facts == outputs["evaluate"].facts


def test_held_out_images_influence_no_model(
    tiny_config: PipelineConfig, embeddings: Embeddings
) -> None:
    """Neither tokens nor labels nor masks of what is not trained on reach any weight."""
    config = with_values(tiny_config, {"dense.epochs": 2, "finetune.epochs": 2})
    before = run_pipeline(config, embeddings, 0)
    held = np.ones(len(embeddings.labels), bool)
    held[before["dense"].tensors["index.train"].numpy()] = False
    whole = np.concatenate(embeddings.patches)
    whole[held] = -whole[held]
    # Labels of the training pool stay: the split is stratified by them.
    labels = np.where(embeddings.splits == "train", embeddings.labels, 5 - embeddings.labels)
    masks = np.zeros_like(embeddings.masks)
    changed = replace(embeddings, patches=[whole], labels=labels, masks=masks)
    after = run_pipeline(config, changed, 0)
    for stage in ("dense", "select", "finetune"):
        for name, tensor in before[stage].tensors.items():
            assert torch.equal(after[stage].tensors[name], tensor), (stage, name)
    one, other = before["evaluate"].facts["metrics"], after["evaluate"].facts["metrics"]
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert one["validation"] != other["validation"]
    assert one["test"] != other["test"]


def test_epochs_are_told_as_they_end(tiny_config: PipelineConfig, embeddings: Embeddings) -> None:
    told: list[dict[str, float]] = []
    config = with_values(tiny_config, {"dense.epochs": 3})
    output = run_stage("dense", config, embeddings, {}, 0, told.append)
    assert output.facts["history"] == told
    assert [record["epoch"] for record in told] == [1, 2, 3]


def test_parts_follow_the_dense_stage(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    context = StageContext(tiny_config, 0, embeddings, {"finetune": outputs["finetune"]})
    expected = outputs["dense"].tensors["index.validation"].numpy()
    np.testing.assert_array_equal(context.part("validation").index, expected)
