"""A tiny store of embeddings whose classes are pairs of parts, and a pipeline that learns them."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from qpmstudy.adapter import Adapter
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.classifier import Classifier
from qpmstudy.config import (
    AdapterConfig,
    DenseConfig,
    EmbeddingsConfig,
    FinetuneConfig,
    PipelineConfig,
    SelectConfig,
    SplitConfig,
)
from qpmstudy.embeddings import Embeddings
from qpmstudy.heads import SparseHead
from qpmstudy.inference import InterpretableModel
from qpmstudy.pipeline import run_pipeline
from qpmstudy.stages import StageOutput

CLASSES, PER_CLASS, SIDE, DIM = 6, 16, 4, 12
SPLITS = ("train",) * 10 + ("test",) * 4 + ("shift",) * 2


def make_embeddings(seed: int = 0) -> Embeddings:
    """Return 96 images: four object patches show the two parts of the class, the rest noise."""
    rng = np.random.default_rng(seed)
    parts = list(combinations(range(4), 2))  # six classes, three share each part
    tokens = rng.normal(0, 0.5, (CLASSES * PER_CLASS, SIDE * SIDE, DIM))
    masks = np.zeros((len(tokens), SIDE * SIDE), np.uint8)
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    for image, label in enumerate(labels):
        row, column = rng.integers(0, SIDE - 1, 2)
        place = [row * SIDE + column, row * SIDE + column + 1]
        place += [patch + SIDE for patch in place]
        masks[image, place] = 1
        for patch, part in zip(place, parts[label] * 2, strict=True):
            tokens[image, patch, part] += 3
    patches = tokens.astype(np.float16)
    return Embeddings(
        dataset="tiny",
        backbone="none",
        fingerprint=f"tiny-{seed}",
        class_names=tuple(f"class {label}" for label in range(CLASSES)),
        grid=(SIDE, SIDE),
        preprocessing={"resize": 32, "crop": 32},
        weight_hash="0" * 64,
        patches=(patches[:7], patches[7:40], patches[40:]),
        cls=patches.mean(1, dtype=np.float32).astype(np.float16),
        labels=labels.astype(np.int64),
        splits=np.array(SPLITS * CLASSES),
        masks=masks,
        ids=tuple(f"{index}.png" for index in range(len(tokens))),
        image_root="nowhere",
    )


@pytest.fixture(scope="session")
def embeddings() -> Embeddings:
    return make_embeddings()


@pytest.fixture(scope="session")
def larger(embeddings: Embeddings) -> Embeddings:
    """Four such stores as one of 384 images, sorted by class as stores are."""
    stores = [embeddings, *(make_embeddings(seed) for seed in range(1, 4))]
    order = np.argsort(np.concatenate([store.labels for store in stores]), kind="stable")
    patches = np.concatenate([shard for store in stores for shard in store.patches])
    joined = {
        name: np.concatenate([getattr(store, name) for store in stores])[order]
        for name in ("cls", "labels", "splits", "masks")
    }
    ids = tuple(f"{index}.png" for index in range(len(order)))
    return replace(embeddings, patches=[patches[order]], ids=ids, **joined)


@pytest.fixture(scope="session")
def tiny_config() -> PipelineConfig:
    return PipelineConfig(
        embeddings=EmbeddingsConfig("tiny", "none"),
        split=SplitConfig(validation=0.2),
        adapter=AdapterConfig(depth=2, hidden=24, features=16),
        dense=DenseConfig(epochs=20, batch=16, lr=3e-2),
        select=SelectConfig(features=6, per_class=2, solver="lagrangian", time_limit=5.0),
        finetune=FinetuneConfig(epochs=15, batch=16, lr=3e-2, l1_fm=0.5, l1_fv=0.0),
    )


@pytest.fixture(scope="session")
def outputs(tiny_config: PipelineConfig, embeddings: Embeddings) -> dict[str, StageOutput]:
    """Every stage of one run with seed 0; not to be changed."""
    return run_pipeline(tiny_config, embeddings, seed=0)


NAMES = ("owl", "wren", "gull")
ASSIGNMENT = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.bool)


@pytest.fixture(scope="session")
def small_model() -> InterpretableModel:
    """Three classes, four features, a real backbone, and weights that nobody trained."""
    generator = torch.Generator().manual_seed(5)
    mean, std = (torch.rand(4, generator=generator) for _ in range(2))
    backbone = open_backbone("patch-descriptor")
    return InterpretableModel(
        classifier=Classifier(
            Adapter(96, 8, 4, 2, generator), SparseHead(ASSIGNMENT, mean, std + 0.1)
        ).eval(),
        backbone=backbone,
        class_names=NAMES,
        grid=backbone.grid,
        peak=torch.full((4,), 2.0),
        selected=(3, 5, 11, 40),
        record={
            "shape": {"in_dim": 96, "hidden": 8, "features": 4, "depth": 2},
            "class_names": list(NAMES),
            "selected": [3, 5, 11, 40],
            "backbone": {
                "name": backbone.name,
                "weight_hash": backbone.weight_hash,
                "grid": list(backbone.grid),
            },
        },
    )


@pytest.fixture(scope="session")
def biased_model(small_model: InterpretableModel) -> InterpretableModel:
    """The small model under a layer as SLDD makes them: real weights, biases, an idle class."""
    head = small_model.classifier.head
    assert isinstance(head, SparseHead)
    weight = torch.tensor([[0.5, -1.25, 0, 0], [0, 0, 0, 0], [0.75, 0.5, -0.25, 2]])
    sparse = SparseHead(weight, head.mean, head.std, torch.tensor([0.25, 1.5, -0.5]))
    return replace(small_model, classifier=Classifier(small_model.classifier.adapter, sparse))


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """A wide picture with a bright disc left of its middle."""
    image = Image.new("RGB", (260, 200), (30, 90, 40))
    ImageDraw.Draw(image).ellipse((60, 60, 120, 120), fill=(240, 220, 40))
    return image
