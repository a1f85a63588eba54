"""A ResNet-50 trained from pictures: through every stage, rows, export and prediction."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qpmstudy.backbones.opening import open_backbone
from qpmstudy.datasets import ImageDataset, make_birds
from qpmstudy.datasets.birds import BirdsPreset
from qpmstudy.datasets.cub import open_cub
from qpmstudy.exported import load_model
from storage import extraction
from storage.export import export_study
from storage.layout import StorageRoot
from storage.study import parse_study

pytestmark = pytest.mark.slow

STUDY = {
    "name": "resnet",
    "pipeline": {
        "embeddings": {"dataset": "birds", "backbone": "pixels-112"},
        "adapter": {"kind": "resnet50"},
        "split": {"validation": 0.34},
        "dense": {"optimizer": "sgd", "epochs": 1, "batch": 8, "lr": 5e-3, "div": 0.196},
        "select": {"features": 5, "per_class": 2, "solver": "lagrangian", "time_limit": 2},
        "finetune": {"optimizer": "sgd", "epochs": 1, "batch": 8, "lr": 1e-4, "l1_fm": 0},
    },
    "space": {"select.method": {"values": ["qpm", "none"]}},
    "seeds": 1,
}


@pytest.fixture
def few_birds(tmp_path: Path) -> ImageDataset:
    preset = BirdsPreset("few", classes=3, train=3, test=1, shift=0)
    make_birds(preset, tmp_path / "birds", seed=2, workers=1)
    return open_cub("birds", tmp_path / "birds")


def test_from_pictures_to_a_prediction(
    run_here: Any, few_birds: ImageDataset, tmp_path: Path
) -> None:
    root = StorageRoot(tmp_path / "root")
    place = root.embeddings("birds", "pixels-112")
    extraction.extract(few_birds, open_backbone("pixels-112"), place)
    study = run_here(parse_study(STUDY, "resnet.yaml"), root)
    qpm, baseline = study.root.study("resnet").results.rows()
    trunk = 23_508_032  # weights of a ResNet-50 without its classifier (torchvision)
    assert (baseline["n_features"], baseline["parameters"]) == (2048, trunk + 3 * 2048 + 3)
    assert (qpm["n_features"], qpm["features_per_class"]) == (5, 2)
    assert qpm["parameters"] == trunk + 3 * 2
    assert qpm["key.dense"] == baseline["key.dense"]  # trained once
    for row in (qpm, baseline):
        for name in ("accuracy", "plausibility", "test_accuracy", "dead_features"):
            assert row[name] is not None, name

    (path,) = export_study(study.root, study.spec, tmp_path / "out", ("0",))
    record = json.loads((path / "model.json").read_text())
    assert record["shape"] == {"kind": "resnet50", "features": 5}
    assert "a ResNet-50 trained end to end on `pixels-112`" in (path / "MODEL_CARD.md").read_text()
    model = load_model(path)
    evaluated = study.root.artifacts.read("evaluate", qpm["key.evaluate"]).tensors
    prediction = model.predict(few_birds.image(int(evaluated["index.test"][2])))
    expected = evaluated["logits.test"][2]
    torch.testing.assert_close(prediction.logits, expected, rtol=1e-3, atol=1e-3)
    total = prediction.contributions.sum(1) + prediction.bias
    torch.testing.assert_close(total, prediction.logits, rtol=1e-4, atol=1e-4)
    assert prediction.feature_maps.shape == (14 * 14, 5)
