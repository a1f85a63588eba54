"""From images to predictions with a pretrained backbone and a weights file of one's own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from cli import main
from dataset_layouts import make_cub
from published import PUBLISHED
from qpmstudy.datasets.pictures import read_rgb
from qpmstudy.errors import DataError
from qpmstudy.exported import load_model
from storage.embeddings import open_store
from storage.export import export_study
from storage.layout import StorageRoot
from storage.study import parse_study

MODEL = "dinov2-vits14-reg"
NAME = f"{MODEL}@layer=3,norm=no,size=56"
FILE = "dinov2_vits14_reg4_pretrain.pth"
STUDY = {
    "name": "vit",
    "pipeline": {
        "embeddings": {"dataset": "cub2011", "backbone": NAME},
        "adapter": {"depth": 2, "hidden": 12, "features": 10},
        "split": {"validation": 0.34},
        "dense": {"epochs": 2, "batch": 6, "lr": 2e-2},
        "select": {"features": 5, "per_class": 2, "solver": "lagrangian", "time_limit": 2},
        "finetune": {"epochs": 2, "batch": 6, "lr": 2e-2, "l1_fv": 0},
    },
    "space": {"finetune.l1_fm": {"values": [1]}},
    "seeds": 1,
}


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_model_finds_its_backbone_and_sees_what_it_was_trained_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_here: Callable[..., Any],
) -> None:
    monkeypatch.delenv("QPMSTUDY_WEIGHTS", raising=False)
    weights, data, runs = tmp_path / "weights", make_cub(tmp_path / "data"), tmp_path / "runs"
    weights.mkdir()
    torch.save(PUBLISHED[MODEL].random(), weights / FILE)
    made = cli("embed", "--dataset", "cub2011", "--backbone", NAME, "--data", data, "--root", runs,
               "--weights", weights / FILE, "--batch", 1)  # fmt: skip
    assert made.exit_code == 0, made.output
    root = StorageRoot(runs)
    spec = parse_study(STUDY, "vit.yaml")
    assert spec.stores() == [("cub2011", NAME)]
    finished = run_here(spec, root)
    (model,) = export_study(root, spec, tmp_path / "models")
    record = json.loads((model / "model.json").read_text())
    store = open_store(root.embeddings("cub2011", NAME), "cub2011", NAME)
    light = store.read_without_patches()
    assert record["backbone"] == {
        "name": NAME,
        "weight_hash": light.weight_hash,
        "grid": [4, 4],
        "preprocessing": light.preprocessing,
    }
    image = data / "images" / light.ids[-1]
    infer = ("infer", model, image, "--format", "json")

    # no weights: the official file is named; a folder or the file itself will do
    assert cli(*infer).exit_code == 1
    assert FILE in cli(*infer).output
    named = cli(*infer, "--weights", weights / FILE)
    assert named.exit_code == 0, named.output
    monkeypatch.setenv("QPMSTUDY_WEIGHTS", str(weights))
    found = cli(*infer, "--explain", tmp_path / "out")
    assert found.exit_code == 0, found.output
    said = json.loads(named.stdout)
    assert json.loads(found.stdout) == said
    assert list((tmp_path / "out").iterdir())

    # the logits are the evaluate stage's own, of every image: embedded one by one, as here
    loaded = load_model(model)
    row = finished.root.study("vit").results.rows()[0]
    evaluated = finished.root.artifacts.read("evaluate", row["key.evaluate"])
    for split in ("test", "validation"):
        positions = evaluated.tensors[f"index.{split}"].tolist()
        for position, logits in zip(positions, evaluated.tensors[f"logits.{split}"], strict=True):
            prediction = loaded.predict(read_rgb(data / "images" / light.ids[position]))
            assert (prediction.logits - logits).abs().max() <= 1e-5 * logits.abs().max()
    assert light.ids[-1] == light.ids[evaluated.tensors["index.test"][-1]]
    assert said["top"][0]["logit"] == pytest.approx(
        evaluated.tensors["logits.test"][-1].max().item()
    )

    # so are its figures, from the store and from the images
    evaluate = ("evaluate", model, "--root", runs, "--json")
    stored = json.loads(cli(*evaluate).output)
    assert stored["metrics"] == record["metrics"]["test"]
    assert stored["metrics"]["accuracy"] == row["test_accuracy"]
    assert stored["metrics"]["plausibility"] == row["test_plausibility"]
    on_the_way = cli(*evaluate, "--data", data, "--split", "test", "--batch", 1)
    assert on_the_way.exit_code == 0, on_the_way.output
    embedded = json.loads(on_the_way.stdout)
    assert embedded["images"] == stored["images"] == len(evaluated.tensors["index.test"])
    for name, value in embedded["metrics"].items():
        assert value == pytest.approx(stored["metrics"][name], rel=1e-5), name

    with Image.open(image) as picture:
        tall = picture.resize((300, 900))
    assert loaded.predict(tall).feature_maps.shape == (16, 5)

    verified = cli("verify", model)
    assert verified.exit_code == 0, verified.output
    assert "whole model: logits of the example's picture within" in verified.output

    # other weights of the same layout are refused
    torch.save(PUBLISHED[MODEL].random(seed=1), weights / FILE)
    other = cli(*infer)
    assert other.exit_code == 1
    assert "its predictions would be meaningless. Name the checkpoint" in other.output
    for refused in (cli("verify", model), cli("verify", model, "--weights", weights / FILE)):
        assert refused.exit_code == 1
        assert "but the weights here are" in refused.output
    with pytest.raises(DataError, match="but the weights here are"):
        load_model(str(model), str(weights / FILE))
    assert "but the weights here are" in cli(*evaluate, "--data", data).output
    remade = cli("embed", "--dataset", "cub2011", "--backbone", NAME, "--data", data, "--root",
                 runs, "--force")  # fmt: skip
    assert remade.exit_code == 0, remade.output
    refused = cli(*evaluate)
    assert refused.exit_code == 1
    assert "but those behind the embeddings at" in refused.output
    shutil.rmtree(weights)
    assert FILE in cli(*infer).output
