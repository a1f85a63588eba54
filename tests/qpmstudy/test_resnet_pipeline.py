"""The four stages with a ResNet-50, on pictures of 32 pixels whose classes are colours."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qpmstudy.backbones.pixels import patches_of
from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.contradictions import contradictions
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import ConfigError
from qpmstudy.pipeline import run_pipeline, run_stage

CHANGES: dict[str, object] = {
    **{"embeddings.backbone": "pixels", "adapter.kind": "resnet50"},
    **{"dense.optimizer": "sgd", "dense.epochs": 1, "dense.batch": 9, "dense.lr": 5e-4},
    **{
        "split.validation": 0.25,
        "finetune.optimizer": "sgd",
        "finetune.epochs": 1,
        "finetune.lr": 1e-4,
    },
}


@pytest.fixture(scope="module")
def coloured(embeddings: Embeddings) -> Embeddings:
    """Five images of each class of the tiny store: noisy pictures in the class's colour."""
    kept = np.add.outer(np.arange(0, 96, 16), [0, 1, 2, 3, 12]).ravel()
    labels = embeddings.labels[kept]
    rng = np.random.default_rng(3)
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])
    colours = np.concatenate([colours, 240 - colours])[labels]
    noise = rng.integers(-40, 41, (len(colours), 3, 32, 32))
    pictures = torch.from_numpy(colours[:, :, None, None] + noise).clamp(0, 255)
    patches = patches_of(pictures).half().numpy()
    assert embeddings.masks is not None
    return replace(
        embeddings,
        backbone="pixels",
        patches=(patches,),
        cls=patches.mean(1).astype(np.float16),
        labels=labels,
        splits=np.tile(["train", "train", "train", "train", "test"], 6),
        masks=embeddings.masks[kept],
        ids=tuple(embeddings.ids[image] for image in kept),
    )


@pytest.mark.slow
def test_the_stages_fit_together_and_repeat_themselves(
    tiny_config: PipelineConfig, coloured: Embeddings
) -> None:
    config = with_values(tiny_config, CHANGES)
    assert contradictions(config) == []
    outputs = run_pipeline(config, coloured, seed=4)
    again = run_stage("dense", config, coloured, {}, seed=4)
    for name, value in outputs["dense"].tensors.items():
        assert torch.equal(value, again.tensors[name]), name
    dense, tuned = (outputs[stage].classifier() for stage in ("dense", "finetune"))
    assert dense.adapter.features == outputs["dense"].tensors["features"].shape[1] == 2048
    assert tuned.adapter.features == 6
    assert torch.equal(tuned.adapter.channels, outputs["select"].tensors["selected"])
    assert outputs["evaluate"].tensors["overlay.maps"].shape == (3, 16, 6)
    assert outputs["evaluate"].facts["metrics"]["test"]["plausibility"] > 0


def test_other_stores_are_refused(tiny_config: PipelineConfig, embeddings: Embeddings) -> None:
    config = with_values(tiny_config, CHANGES)
    with pytest.raises(ConfigError, match=r"adapter\.kind = resnet50 is trained from pixels, but"):
        run_stage("dense", config, embeddings, {}, seed=0)


def test_the_optimiser_must_be_sgd(tiny_config: PipelineConfig, coloured: Embeddings) -> None:
    config = with_values(tiny_config, CHANGES | {"dense.optimizer": "schedulefree"})
    with pytest.raises(ConfigError, match="trains the adapter mlp alone, not resnet50"):
        run_stage("dense", config, coloured, {}, seed=0)
