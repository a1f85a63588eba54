"""Weights are found, read without running code, hashed, and refused unless they fit exactly."""

import pickle
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_networks import tiny
from torch import Tensor

from qpmstudy.backbones.catalogue import CATALOGUE
from qpmstudy.backbones.checkpoints import FOLDER, find_weights, read_checkpoint, weight_hash
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.pretrained import Pretrained
from qpmstudy.errors import DataError

ENTRY, VIT = tiny("dinov2-vits14-reg")
(FILE,) = ENTRY.files


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return VIT.random()


@pytest.fixture
def file(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    torch.save(weights, tmp_path / FILE)
    return tmp_path / FILE


def test_weights_are_found_in_the_folder(
    file: Path, weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(file.parent))
    assert find_weights(ENTRY) == file
    save_file(weights, file.with_suffix(".safetensors"))
    file.unlink()
    assert find_weights(ENTRY) == file.with_suffix(".safetensors")


def test_the_newer_of_the_same_resnet_files_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for file in reversed(CATALOGUE["resnet50"].files):
        (tmp_path / file).touch()
        assert find_weights(CATALOGUE["resnet50"]) == tmp_path / file


@pytest.mark.parametrize("name", CATALOGUE)
def test_missing_weights_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    file = CATALOGUE[name].files[0]
    with pytest.raises(DataError, match=rf"{name}'.*{FOLDER} is not set.*Get {file} from https"):
        open_backbone(name)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError, match=rf"no {file}.* lies in {tmp_path}"):
        open_backbone(name)
    with pytest.raises(DataError, match=r"no weights at .*gone\.pth: give the path"):
        open_backbone(name, tmp_path / "gone.pth")


def test_the_hash_is_of_the_tensors(file: Path, weights: dict[str, Tensor]) -> None:
    """Not of the file's format or order; any byte, name or shape changes it."""
    backbone = Pretrained(ENTRY, file)
    other = file.with_suffix(".safetensors")
    save_file(dict(reversed(weights.items())), other)
    assert Pretrained(ENTRY, other).weight_hash == backbone.weight_hash
    hashes = {backbone.weight_hash, weight_hash(weights, 1), weight_hash(weights, 2)}
    weights["norm.bias"][3] += 1e-6
    hashes.add(weight_hash(weights, 1))
    weights["norm.bias"] = weights["norm.bias"][None]
    hashes.add(weight_hash(weights, 1))
    weights["norm.biases"] = weights.pop("norm.bias")
    hashes.add(weight_hash(weights, 1))
    assert len(hashes) == 6


def test_types_that_numpy_lacks_are_hashed() -> None:
    assert len(weight_hash({"a": torch.ones((), dtype=torch.bfloat16)})) == 64


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("touched"),)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_checkpoint_is_not_run(
    new_format: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"norm.weight": Harmful()}, "bad.pth", _use_new_zipfile_serialization=new_format)
    with pytest.raises(DataError, match=r"bad\.pth cannot be read as weights without running code"):
        read_checkpoint(Path("bad.pth"))
    assert not Path("touched").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files_are_refused(
    suffix: str, file: Path, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    if suffix == ".safetensors":
        file = file.with_suffix(suffix)
        save_file(weights, file)
    content = file.read_bytes()
    damaged = tmp_path / f"damaged{suffix}"
    pickled = pickle.dumps({"a": 1}, protocol=2)
    for bad in (b"", b"\0" * 9000, content[: len(content) // 2], content[:50], pickled, b"<html>"):
        damaged.write_bytes(bad)
        with pytest.raises(DataError, match=r"damaged\.\w+ (cannot be read|must hold tensors)"):
            read_checkpoint(damaged)


def test_the_oldest_format_is_refused(tmp_path: Path) -> None:
    """As resnet50-19c8e357.pth has it: torch cannot read it without running code."""
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(DataError, match=r"old\.pth cannot.*tar format.*store its.*\.safetensors"):
        read_checkpoint(tmp_path / "old.pth")


@pytest.mark.parametrize(
    ("content", "held"), [({"teacher": {}, "epoch": 3}, "epoch, teacher"), ([1], "list")]
)
def test_only_tensors_by_name_are_weights(content: object, held: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "full.pth")
    with pytest.raises(DataError, match=rf"full\.pth must hold tensors.*but holds {held}"):
        read_checkpoint(tmp_path / "full.pth")


def test_missing_and_foreign_tensors_are_named(file: Path, weights: dict[str, Tensor]) -> None:
    del weights["blocks.1.mlp.fc2.bias"]
    weights["head.weight"] = torch.ones(3)
    torch.save(weights, file)
    pattern = r"missing are blocks\.1\.mlp\.fc2\.bias; foreign are head\.weight"
    with pytest.raises(DataError, match=pattern):
        Pretrained(ENTRY, file)


@pytest.mark.parametrize(
    ("name", "published", "message"),
    [
        ("dinov2-vits14", "dinov2-vits14-reg", "missing are none; foreign are register_tokens"),
        ("dinov2-vits14-reg", "dinov2-vits14", "missing are register_tokens; foreign are none"),
        ("dino-vits16", "dinov2-vits14", "foreign are blocks.0.ls1.gamma.* and 1 more"),
        ("dinov3-vits16", "dinov2-vits14-reg", "missing are blocks.0.attn.qkv.bias_mask"),
        ("dino-vits16", "dino-vits8", r"'patch_embed.proj.weight' gives \(48, 3, 8, 8\)"),
    ],
)
def test_another_models_weights_are_refused(
    name: str, published: str, message: str, tmp_path: Path
) -> None:
    torch.save(tiny(published)[1].random(), tmp_path / "other.pth")
    with pytest.raises(DataError, match=rf"other\.pth is not the checkpoint.*{message}"):
        Pretrained(tiny(name)[0], tmp_path / "other.pth")


def test_positions_must_fill_a_square(file: Path, weights: dict[str, Tensor]) -> None:
    weights["pos_embed"] = weights["pos_embed"][:, :-1]
    torch.save(weights, file)
    with pytest.raises(DataError, match=r"'pos_embed' gives \(1, 1368, 48\), but \(1, 256, 48\)"):
        Pretrained(ENTRY, file)


def test_half_precision_weights_are_read(file: Path, weights: dict[str, Tensor]) -> None:
    """And give the tokens of the same values in single precision."""
    rounded = {name: tensor.bfloat16() for name, tensor in weights.items()}
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tokens = []
    for version in (rounded, {name: tensor.float() for name, tensor in rounded.items()}):
        torch.save(version, file)
        tokens.append(Pretrained(ENTRY, file).embed(images)[0])
    assert tokens[0].dtype == torch.float32
    assert torch.allclose(tokens[0], tokens[1], atol=1e-5)
