"""The paper's dense baselines, and DINO-QPM on other inputs, through their stages."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.embeddings import Embeddings
from qpmstudy.pipeline import run_pipeline, run_stage
from qpmstudy.stage_graph import last_stage, stage_keys, stages_of
from qpmstudy.stages import StageOutput

Outputs = dict[str, StageOutput]
PROBE = {
    **{"adapter.depth": 0, "adapter.input": "cls", "select.method": "none"},
    **{"dense.div": 0.0, "dense.epochs": 30},
}
FROZEN = PROBE | {"adapter.input": "patches"}
INPUTS: dict[str, dict[str, object]] = {
    "cls": {"adapter.input": "cls"},
    "both": {"adapter.input": "both"},
    "concat": {"adapter.input": "concat", "adapter.pooling": "max"},
    "statistics": {"adapter.cls_statistics": True},
}


@pytest.fixture(scope="module")
def store(embeddings: Embeddings) -> Embeddings:
    """The tiny store with CLS tokens that say the class in channels of their own."""
    rng = np.random.default_rng(1)
    cls = rng.normal(0, 0.5, embeddings.cls.shape)
    cls[np.arange(len(cls)), 6 + embeddings.labels] += 3
    return replace(embeddings, cls=cls.astype(np.float16))


@pytest.fixture(scope="module")
def probe(tiny_config: PipelineConfig, store: Embeddings) -> Outputs:
    return run_pipeline(with_values(tiny_config, PROBE), store, seed=0)


def test_a_dense_model_needs_two_stages(tiny_config: PipelineConfig, probe: Outputs) -> None:
    config = with_values(tiny_config, PROBE)
    assert set(probe) == set(stages_of(config)) == set(stage_keys(config, "f", 0))
    assert stages_of(config) == ("dense", "evaluate_dense")
    assert last_stage(stages_of(config)) == "evaluate_dense"
    assert last_stage(stages_of(tiny_config)) == "evaluate"


def test_selecting_nothing_leaves_the_dense_stages_as_they_are(tiny_config: PipelineConfig) -> None:
    every = stage_keys(tiny_config, "f", 0)
    dense = stage_keys(with_values(tiny_config, {"select.method": "none"}), "f", 0)
    assert dense == {name: every[name] for name in ("dense", "evaluate_dense")}


def test_a_linear_probe_is_linear_in_the_class_token(store: Embeddings, probe: Outputs) -> None:
    model, evaluated = probe["dense"].classifier(), probe["evaluate_dense"]
    assert [name for name, _ in model.named_parameters()] == ["head.weight", "head.bias"]
    index, logits = (evaluated.tensors[f"{kind}.test"] for kind in ("index", "logits"))
    cls = torch.from_numpy(store.cls[index.numpy()]).float()
    wanted = cls @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)
    metrics: Any = evaluated.facts["metrics"]
    assert metrics["test"]["accuracy"] > 0.9


def test_a_probes_maps_are_its_weights_on_the_patch_tokens(
    store: Embeddings, probe: Outputs
) -> None:
    """GradCAM of a linear layer: the weights of the predicted class, patch by patch."""
    model, evaluated = probe["dense"].classifier(), probe["evaluate_dense"]
    index, logits = (evaluated.tensors[f"{kind}.test"].numpy() for kind in ("index", "logits"))
    weight = model.weight.detach().double().numpy()
    patches = np.concatenate(store.patches)[index].astype(np.float64)
    assert store.masks is not None
    paper, shifted = [], []
    for tokens, mask, scores in zip(patches, store.masks[index], logits, strict=True):
        heat = tokens @ weight[scores.argmax()]
        grid = np.pad(mask.reshape(store.grid), 1)
        near = np.lib.stride_tricks.sliding_window_view(grid, (3, 3)).max((2, 3)).ravel()
        paper.append((heat * near).sum() / heat.sum())
        heat = heat - heat.min()
        shifted.append((heat * near).sum() / heat.sum())
    metrics: Any = evaluated.facts["metrics"]
    assert metrics["test"]["plausibility"] == pytest.approx(np.mean(paper), rel=1e-3)
    assert metrics["test"]["plausibility_shifted"] == pytest.approx(np.mean(shifted), abs=1e-5)


def test_dense_on_frozen_features_reads_the_mean_patch(
    tiny_config: PipelineConfig, store: Embeddings
) -> None:
    outputs = run_pipeline(with_values(tiny_config, FROZEN), store, seed=0)
    tensors = outputs["dense"].tensors
    patches = np.concatenate(store.patches)[tensors["index.train"].numpy()].astype(np.float32)
    np.testing.assert_allclose(tensors["features"].numpy(), patches.mean(1), atol=1e-5)
    metrics: Any = outputs["evaluate_dense"].facts["metrics"]
    assert metrics["test"]["accuracy"] > 0.6  # chance is 1/6
    shape: Any = outputs["dense"].facts["shape"]
    assert (shape["depth"], shape["features"]) == (0, 12)


@pytest.mark.parametrize("name", INPUTS)
def test_other_inputs_run_through_every_stage(
    tiny_config: PipelineConfig, store: Embeddings, name: str
) -> None:
    config = with_values(tiny_config, INPUTS[name])
    outputs = run_pipeline(config, store, seed=0)
    tuned, evaluated = outputs["finetune"], outputs["evaluate"]
    model = tuned.classifier()
    assert model.adapter.reads_cls
    assert (model.adapter.shape.input, model.adapter.shape.pooling) == (
        config.adapter.input,
        config.adapter.pooling,
    )
    metrics: Any = evaluated.facts["metrics"]
    assert metrics["test"]["accuracy"] > 0.6  # chance is 1/6
    assert all(0 <= metrics["test"][metric] <= 1 for metric in ("plausibility", "sid"))
    index, logits = (evaluated.tensors[f"{kind}.test"] for kind in ("index", "logits"))
    with torch.inference_mode():
        found = model(torch.from_numpy(store.tokens(index.numpy(), cls=True)).float())
    torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-4)


def test_the_class_token_alone_decides_where_it_is_the_input(
    tiny_config: PipelineConfig, store: Embeddings
) -> None:
    """Other patches change the maps, and so Plausibility, but neither features nor logits."""
    config = with_values(tiny_config, {"adapter.input": "cls", "dense.epochs": 2})
    dense = run_stage("dense", config, store, {}, 0)
    other = replace(store, patches=[-np.concatenate(store.patches)])
    one, two = (
        run_stage("evaluate_dense", config, images, {"dense": dense}, 0)
        for images in (store, other)
    )
    assert torch.equal(one.tensors["logits.test"], two.tensors["logits.test"])
    metrics: tuple[Any, Any] = (one.facts["metrics"], two.facts["metrics"])
    assert metrics[0]["test"]["plausibility"] != metrics[1]["test"]["plausibility"]
    assert not torch.equal(one.tensors["overlay.maps"], two.tensors["overlay.maps"])


def test_the_papers_sparse_layer_adds_features_as_they_are(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    config = with_values(tiny_config, {"finetune.standardise": False, "finetune.epochs": 3})
    tuned = run_stage("finetune", config, embeddings, outputs, 0)
    model = tuned.classifier()
    with torch.inference_mode():
        found = model(torch.from_numpy(embeddings.tokens(embeddings.indices("test"))).float())
    wanted = found.feature_vector @ outputs["select"].tensors["weight"].T
    torch.testing.assert_close(found.logits, wanted)
    assert not torch.equal(model.head.std, outputs["finetune"].classifier().head.std)
