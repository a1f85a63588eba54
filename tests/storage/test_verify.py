"""A model is verified by what it says, byte by byte and through the command line."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from command import here, refused
from qpmstudy import onnx_file
from qpmstudy.backbones.patch_descriptor import PatchDescriptor
from qpmstudy.datasets.pictures import read_rgb
from qpmstudy.errors import DataError, NotInstalledError
from qpmstudy.exported import CONTENT, EXTRAS, load_model, read_model
from qpmstudy.files import sha256
from qpmstudy.onnx_file import INPUT, OUTPUTS, check_onnx, run_onnx
from storage import example
from storage.export import export_study

FILES = (*CONTENT, *EXTRAS)


def resigned(folder: Path) -> Path:
    """Give a changed model the checksums of what it holds now, as a forger might."""
    there = [name for name in FILES if (folder / name).exists()]
    lines = [f"{sha256(folder / name)}  {name}\n" for name in there]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


def test_a_model_reproduces_its_example(model: Path) -> None:
    found = here("verify", model)
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert lines[0] == f"files: {', '.join(FILES)} are those of the export"
    assert lines[1].startswith("adapter and head: logits of the example's tokens within ")
    assert lines[2].startswith("ONNX: outputs for the example's tokens within ")
    assert lines[3].startswith("backbone: patch-descriptor, weights ")
    record = json.loads((model / "model.json").read_text())
    assert lines[4].startswith("whole model: logits of the example's picture within ")
    assert record["example"]["predicted"] in lines[4]
    assert lines[-1] == f"{model} is as it was exported."


@pytest.mark.parametrize("file", [*FILES, "SHA256SUMS"])
def test_a_changed_byte_of_any_file_is_found(model_copy: Path, file: str) -> None:
    path = model_copy / file
    whole = path.read_bytes()
    for position in {0, len(whole) // 2, len(whole) - 2}:
        broken = bytearray(whole)
        broken[position] ^= 1
        path.write_bytes(broken)
        words = () if file == "SHA256SUMS" else (file,)
        refused(here("verify", model_copy), 1, "is damaged", *words)
    path.unlink()
    refused(here("verify", model_copy), 1, file)


@pytest.mark.parametrize("file", [*FILES, "SHA256SUMS"])
def test_whatever_a_byte_becomes_it_is_found(model_copy: Path, file: str) -> None:
    """Random bytes anywhere, ends of lines as any other byte, and one byte more or less."""
    path, rng = model_copy / file, random.Random(0)
    whole = path.read_bytes()
    changes = [(rng.randrange(len(whole)), rng.randrange(1, 256)) for _ in range(40)]
    if file == "SHA256SUMS":
        ends = [position for position, byte in enumerate(whole) if byte == ord("\n")]
        changes += [(position, change) for position in ends for change in range(1, 256)]
    contents = [whole[:-1], whole + b"\n", whole + whole[:1]]
    for position, change in changes:
        contents.append(
            whole[:position] + bytes([whole[position] ^ change]) + whole[position + 1 :]
        )
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged"):
            read_model(model_copy)


def test_another_image_is_found_though_the_checksums_fit(model_copy: Path) -> None:
    with Image.open(model_copy / "example.png") as image:
        turned = image.transpose(Image.Transpose.ROTATE_180)
    pixels = np.asarray(turned) // 2
    Image.fromarray(pixels).save(model_copy / "example.png")
    words = ("does not reproduce its example from the picture", "logits differ by")
    refused(here("verify", resigned(model_copy)), 1, *words)


def test_other_weights_are_found_though_the_checksums_fit(model_copy: Path) -> None:
    path = model_copy / "model.safetensors"
    tensors = load(path.read_bytes())
    name = "classifier.adapter.layers.0.linear.weight"
    tensors[name] = tensors[name] * 1.01
    path.write_bytes(save(tensors))
    words = ("does not reproduce its example from the tokens", "export the model again")
    refused(here("verify", resigned(model_copy)), 1, *words)


def test_another_backbones_weights_are_found(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(self: PatchDescriptor) -> None:
        self.weight_hash = "f" * 64

    monkeypatch.setattr(PatchDescriptor, "__init__", other)
    refused(here("verify", model), 1, "weights here are ffffffffffff", "Name the checkpoint")


def test_files_of_two_models_are_told_apart(model_copy: Path) -> None:
    path = model_copy / "example.safetensors"
    tensors = load(path.read_bytes())
    path.write_bytes(save({**tensors, "logits": tensors["logits"][:3].clone()}))
    refused(here("verify", resigned(model_copy)), 1, "logits of 3 classes", "different models")
    path.write_bytes(save({"tokens": tensors["tokens"]}))
    refused(here("verify", resigned(model_copy)), 1, "has no 'logits'")


def test_an_extra_that_nobody_signed_is_refused(model_copy: Path) -> None:
    sums = model_copy / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines(True) if "model.onnx" not in line]
    sums.write_text("".join(lines))
    refused(here("verify", model_copy), 1, "model.onnx is there, but not in it")


def test_a_model_without_an_example_says_so(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "read_rgb", lambda path: read_rgb(path.with_suffix(".gone")))
    (path,) = export_study(finished.root, finished.spec, tmp_path, ("0",))
    record = json.loads((path / "model.json").read_text())
    assert record["example"] is None
    assert "does not exist" in record["example_missing"]
    assert "No example image is kept: The image" in (path / "MODEL_CARD.md").read_text()
    found = here("verify", path)
    assert found.code == 0, found.err
    assert "no prediction was checked: the model was exported without an example" in found.out
    with pytest.raises(DataError, match=r"model.onnx is checked on .* Export without --onnx"):
        export_study(finished.root, finished.spec, tmp_path / "onnx", ("0",), onnx=True)
    assert not list((tmp_path / "onnx").glob("*"))


def test_onnx_says_what_torch_says_for_any_batch(model: Path) -> None:
    content = (model / "model.onnx").read_bytes()
    stored = read_model(model)
    tokens = torch.randn(5, 256, 96, generator=torch.Generator().manual_seed(0))
    for batch in (tokens, tokens[:1], tokens[:3]):
        assert check_onnx(content, stored, batch) <= 1e-4
        logits, maps, scores = run_onnx(content, batch)
        for prediction, *theirs in zip(
            stored.predict_tokens(batch), logits, maps, scores, strict=True
        ):
            assert np.abs(theirs[0] - prediction.logits.numpy()).max() <= 1e-4
            assert np.abs(theirs[1] - prediction.feature_maps.numpy()).max() <= 1e-4
            contributions = stored.classifier.weight.numpy() * theirs[2]
            assert np.abs(contributions - prediction.contributions.numpy()).max() <= 1e-4


def test_the_onnx_file_explains_itself_and_names_no_path(model: Path) -> None:
    import onnx

    content = (model / "model.onnx").read_bytes()
    proto = onnx.load_from_string(content)
    onnx.checker.check_model(proto, full_check=True)
    assert [one.name for one in proto.graph.input] == [INPUT]
    assert [one.name for one in proto.graph.output] == list(OUTPUTS)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [(one.domain, one.version) for one in proto.opset_import] == [("", 20)]
    facts = {one.key: json.loads(one.value) for one in proto.metadata_props}
    record = json.loads((model / "model.json").read_text())
    assert facts == {
        "class_names": record["class_names"],
        "features": record["selected"],
        "backbone": record["backbone"],
    }
    for trace in (b".py", b"stack_trace", str(Path(__file__).parents[2]).encode()):
        assert trace not in content


def test_an_onnx_file_of_another_model_is_found(
    model: Path,
) -> None:
    content, stored = (model / "model.onnx").read_bytes(), read_model(model)
    with torch.no_grad():
        stored.classifier.head.mean.add_(0.01)
    with pytest.raises(DataError, match=r"gives other logits than torch: .* by .* 0\.0001"):
        check_onnx(content, stored, torch.rand(1, 256, 96))
    with pytest.raises(DataError, match=r"ONNX Runtime cannot run the graph"):
        run_onnx(content[:-100], torch.rand(1, 256, 96))
    with pytest.raises(DataError, match=r"ONNX Runtime cannot run the graph"):
        run_onnx(content, torch.rand(1, 7, 96))


def test_without_onnx_it_is_said_what_is_not_checked(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "onnx", None)
    found = here("verify", model)
    assert found.code == 0, found.err
    assert "ONNX: not run. ONNX needs three packages more: pip install" in found.out
    with pytest.raises(NotInstalledError, match=r"-c constraints.txt -e '.\[onnx\]'"):
        onnx_file.needed()


def test_three_lines_of_python(model: Path) -> None:
    from qpmstudy import load

    loaded = load(str(model))
    prediction = loaded.predict(model / "example.png")
    record = json.loads((model / "model.json").read_text())
    assert loaded.class_names[prediction.top(1)[0]] == record["example"]["predicted"]
    assert load is load_model
