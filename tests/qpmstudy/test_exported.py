"""Model folders: written whole, and refused when anything about them has changed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from qpmstudy.adapter import AdapterShape
from qpmstudy.classifier import Classifier
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.exported import CONTENT, load_model, save_model
from qpmstudy.files import sha256
from qpmstudy.heads import DenseHead
from qpmstudy.inference import InterpretableModel
from qpmstudy.stages import StageOutput

CARD = "# small\n\nA model for tests.\n"


@pytest.fixture
def folder(small_model: InterpretableModel, tmp_path: Path) -> Path:
    path = tmp_path / "models" / "small"
    tensors = {**small_model.classifier.tensors(), "peak": small_model.peak}
    save_model(path, tensors, small_model.record, CARD)
    return path


def resigned(folder: Path, **record: Any) -> None:
    """Change model.json as another program might, with the checksums to match."""
    content = json.loads((folder / "model.json").read_text())
    content = {k: v for k, v in (content | record).items() if v is not None}
    (folder / "model.json").write_text(json.dumps(content))
    lines = [f"{sha256(folder / name)}  {name}\n" for name in CONTENT]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_a_loaded_model_says_the_same(
    folder: Path, small_model: InterpretableModel, picture: Image.Image
) -> None:
    loaded = load_model(folder)
    one, other = small_model.predict(picture), loaded.predict(picture)
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.contributions, other.contributions)
    assert torch.equal(one.mask, other.mask)
    assert loaded.class_names == small_model.class_names
    assert loaded.selected == small_model.selected
    assert loaded.grid == (16, 16)
    assert torch.equal(loaded.peak, small_model.peak)
    assert not loaded.classifier.training


def test_a_layer_with_bias_comes_back_whole(
    biased_model: InterpretableModel, picture: Image.Image, tmp_path: Path
) -> None:
    tensors = {**biased_model.classifier.tensors(), "peak": biased_model.peak}
    save_model(tmp_path / "m", tensors, biased_model.record, CARD)
    one, other = biased_model.predict(picture), load_model(tmp_path / "m").predict(picture)
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.contributions, other.contributions)
    assert torch.equal(one.bias, other.bias)
    total = other.contributions.sum(1) + other.bias
    torch.testing.assert_close(total, other.logits, rtol=1e-5, atol=1e-5)


def test_the_folder_is_what_it_promises(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*CONTENT, "SHA256SUMS"}
    assert (folder / "MODEL_CARD.md").read_text() == CARD
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")  # the format of the sha256sum command
        assert sha256(folder / name) == digest
    assert list(folder.parent.iterdir()) == [folder]


def test_an_existing_folder_stays(folder: Path, small_model: InterpretableModel) -> None:
    before = (folder / "MODEL_CARD.md").stat().st_mtime_ns
    with pytest.raises(ConfigError, match=r"small exists already.*another --out"):
        save_model(folder, {}, {}, "other")
    assert (folder / "MODEL_CARD.md").stat().st_mtime_ns == before


def test_a_failed_export_leaves_nothing(small_model: InterpretableModel, tmp_path: Path) -> None:
    tensors = {**small_model.classifier.tensors(), "peak": small_model.peak}
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_model(tmp_path / "m", tensors, {"accuracy": float("nan")}, CARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", [*CONTENT, "SHA256SUMS"])
def test_any_changed_byte_is_noticed(folder: Path, file: str) -> None:
    path = folder / file
    whole = path.read_bytes()
    for position in {0, len(whole) // 3, len(whole) // 2, len(whole) - 2}:
        for bit in (0x01, 0x20, 0x80):
            broken = bytearray(whole)
            broken[position] ^= bit
            path.write_bytes(broken)
            with pytest.raises(DataError, match="is damaged"):
                load_model(folder)


@pytest.mark.parametrize("file", [*CONTENT, "SHA256SUMS"])
def test_any_missing_file_is_noticed(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(DataError, match=r"is missing|is no exported model: it has no SHA256SUMS"):
        load_model(folder)


def test_checksums_must_cover_everything(folder: Path) -> None:
    sums = folder / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(lines[:2]))
    with pytest.raises(DataError, match=r"must list model.safetensors, model.json, MODEL_CARD.md"):
        load_model(folder)
    sums.write_text("".join(lines) + "0  ../../etc/passwd\n")
    with pytest.raises(DataError, match=r"names '../../etc/passwd', which no model has"):
        load_model(folder)


def test_other_versions_are_refused(folder: Path) -> None:
    resigned(folder, schema_version=99)
    with pytest.raises(DataError, match=r"schema version 99 .*this version reads 1"):
        load_model(folder)


def test_an_incomplete_record_is_refused(folder: Path) -> None:
    resigned(folder, class_names=None)
    with pytest.raises(DataError, match=r"lacks \['class_names'\].*Export the model again"):
        load_model(folder)


def test_other_weights_of_the_backbone_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qpmstudy import exported

    backbone = exported.open_backbone("patch-descriptor")
    backbone.weight_hash = "0" * 64
    monkeypatch.setattr(exported, "open_backbone", lambda *_: backbone)
    with pytest.raises(DataError, match=r"weights here are 000000000000\.\.\.: .*meaningless"):
        load_model(folder)


def test_an_unknown_backbone_is_refused(folder: Path, small_model: InterpretableModel) -> None:
    backbone: Any = small_model.record["backbone"]
    resigned(folder, backbone=backbone | {"name": "dino"})
    with pytest.raises(ConfigError, match=r"Unknown backbone 'dino'"):
        load_model(folder)


def test_another_shape_is_refused(folder: Path) -> None:
    resigned(folder, shape={"in_dim": 96, "hidden": 9, "features": 4, "depth": 2})
    with pytest.raises(DataError, match=r"do not make a classifier of shape .*hidden=9"):
        load_model(folder)


def test_a_classifier_is_its_tensors(small_model: InterpretableModel) -> None:
    shape = AdapterShape(96, 8, 4, 2)
    tensors = small_model.classifier.tensors()
    tokens = torch.rand(2, 256, 96)
    with torch.inference_mode():
        again = Classifier.from_tensors(tensors, shape)
        assert torch.equal(again(tokens).logits, small_model.classifier(tokens).logits)
        dense = DenseHead(4, 3, 0.5, torch.Generator().manual_seed(1))
        whole = Classifier(small_model.classifier.adapter, dense).eval()
        output = StageOutput(whole.tensors(), {"shape": {**vars(shape)}})
        assert torch.equal(output.classifier()(tokens).logits, whole(tokens).logits)
    for damaged in (
        {k: v for k, v in tensors.items() if "layers.1" not in k},
        {**tensors, "classifier.extra": torch.zeros(1)},
        {k: v for k, v in tensors.items() if "head" not in k},
    ):
        with pytest.raises(DataError, match=r"do not make a classifier of shape"):
            Classifier.from_tensors(damaged, shape)


def test_a_foreign_file_of_tensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(save({"x": torch.zeros(1)}))
    resigned(folder)
    with pytest.raises(DataError, match=r"do not make a classifier"):
        load_model(folder)
    (folder / "model.safetensors").write_bytes(b"\x80\x04pickle")
    resigned(folder)
    with pytest.raises(DataError, match=r"model.safetensors cannot be read"):
        load_model(folder)
