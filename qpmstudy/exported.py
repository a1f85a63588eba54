"""Exported models: a folder that is all a person needs to predict, checked before it is used.

model.safetensors   adapter, head, and the scale of each feature's map
model.json          configuration, classes, selection, certificate, metrics, backbone
MODEL_CARD.md       the same in words
SHA256SUMS          hashes of all others; `sha256sum -c SHA256SUMS` checks them too

and, where they were asked for or could be made:

example.png, example.safetensors   an image and what the model said of it (example.py)
model.onnx                         adapter and head for other programs (onnx_file.py)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from qpmstudy.adapters import read_shape
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.classifier import Classifier
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.files import check_hashes, read_json, sha256, whole_directory, write_bytes, write_json
from qpmstudy.inference import InterpretableModel, TokenModel
from qpmstudy.stages.base import device

SCHEMA_VERSION = 1
CONTENT = ("model.safetensors", "model.json", "MODEL_CARD.md")
EXTRAS = ("example.png", "example.safetensors", "model.onnx")
REQUIRED = ("schema_version", "shape", "class_names", "selected", "backbone")


def save_model(
    folder: Path,
    tensors: Mapping[str, Tensor],
    record: Mapping[str, Any],
    card: str,
    extras: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        folder: must not exist.
        tensors: `Classifier.tensors()` and "peak".
        record: content of model.json besides the schema version.
        card: the model card, Markdown.
        extras: contents of those of `EXTRAS` that it has.

    Raises:
        ConfigError: the folder exists.
    """
    refuse_existing(folder)
    with whole_directory(folder) as temporary:
        contents = {name: value.contiguous() for name, value in tensors.items()}
        write_bytes(temporary / "model.safetensors", save(contents))
        write_json(temporary / "model.json", {"schema_version": SCHEMA_VERSION, **record})
        write_bytes(temporary / "MODEL_CARD.md", card.encode())
        for name, content in extras.items():
            write_bytes(temporary / name, content)
        names = (*CONTENT, *extras)
        sums = "".join(f"{sha256(temporary / name)}  {name}\n" for name in names)
        write_bytes(temporary / "SHA256SUMS", sums.encode())


def refuse_existing(folder: Path) -> None:
    """Raise if there is something where a model is to be written.

    Raises:
        ConfigError: there is.
    """
    if folder.exists():
        raise ConfigError(
            f"{folder} exists already and exported models are not overwritten: "
            "remove it, or choose another --out."
        )


@dataclass(frozen=True)
class StoredModel(TokenModel):
    """An exported model without its backbone: all that embeddings made before need."""

    folder: Path

    def check_weights(self, found: str, whose: str, remedy: str) -> None:
        """Raise unless `found`, a hash of weights that errors call `whose`, is the backbone's.

        Raises:
            DataError: the model was trained on tokens of other weights.
        """
        backbone = self.record["backbone"]
        if found != backbone["weight_hash"]:
            raise DataError(
                f"{self.folder} was trained on {backbone['name']} with weights "
                f"{backbone['weight_hash'][:12]}..., but {whose} are {found[:12]}...: its "
                f"predictions would be meaningless. {remedy}"
            )


def read_model(folder: Path) -> StoredModel:
    """Read an exported model; its backbone is not opened.

    Raises:
        DataError: a file is missing or changed, or from another version.
    """
    check_hashes(folder, _sums(folder))
    record = read_json(folder / "model.json")
    missing = [key for key in REQUIRED if key not in record]
    if missing or record["schema_version"] != SCHEMA_VERSION:
        raise DataError(
            f"{folder / 'model.json'} has schema version {record.get('schema_version')!r} and "
            f"lacks {missing}; this version reads {SCHEMA_VERSION}. Export the model again."
        )
    tensors = read_tensors(folder / "model.safetensors")
    classifier = Classifier.from_tensors(tensors, read_shape(record["shape"]))
    bare = token_model(classifier, tensors["peak"], record)
    return StoredModel(**vars(bare), folder=folder)


def token_model(
    classifier: Classifier, peak: Float[Tensor, " F"], record: Mapping[str, Any]
) -> TokenModel:
    """Return a classifier as a model whose names are those of a model.json."""
    rows, columns = record["backbone"]["grid"]
    return TokenModel(
        classifier=classifier,
        class_names=tuple(record["class_names"]),
        grid=(rows, columns),
        peak=peak,
        selected=tuple(record["selected"]),
        record=record,
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file.

    Raises:
        DataError: it is no file of tensors.
    """
    try:
        found: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path} cannot be read: {error}. Export the model again.") from error
    return found


def load_model(folder: Path | str, weights: Path | str | None = None) -> InterpretableModel:
    """Load an exported model with its backbone, on the GPU if there is one.

    `weights` is the backbone's checkpoint; None takes it from where it usually is.

    Raises:
        DataError: a file is missing or changed, or the backbone here has other weights.
        ConfigError: the backbone is not known here.
    """
    return with_backbone(read_model(Path(folder)), None if weights is None else Path(weights))


def with_backbone(model: StoredModel, weights: Path | None = None) -> InterpretableModel:
    """Return a model that was read, with its backbone.

    Raises:
        DataError: the weights are missing, damaged, or others than the model was trained on.
        ConfigError: the backbone is not known here.
    """
    backbone = open_backbone(model.record["backbone"]["name"], weights)
    model.check_weights(
        backbone.weight_hash,
        "the weights here",
        "Name the checkpoint it was trained on with --weights, or install the version it was "
        "exported with (see versions in model.json).",
    )
    classifier = model.classifier.to(device())
    return InterpretableModel(
        **vars(token_model(classifier, model.peak, model.record)), backbone=backbone
    )


def _sums(folder: Path) -> dict[str, str]:
    path = folder / "SHA256SUMS"
    if not path.is_file():
        raise DataError(
            f"{folder} is no exported model: it has no SHA256SUMS. Export one with "
            "python cli.py study export STUDY --out FOLDER."
        )
    sums = {}
    *lines, rest = path.read_bytes().decode(errors="replace").split("\n")
    for line in lines:
        digest, _, name = line.partition("  ")
        if name not in (*CONTENT, *EXTRAS):
            raise DataError(f"{path} is damaged: it names {name!r}, which no model has.")
        sums[name] = digest
    if rest:
        raise DataError(f"{path} is damaged: it ends within a line ({rest!r}).")
    if not set(CONTENT) <= set(sums):
        raise DataError(f"{path} is damaged: it must list {', '.join(CONTENT)}.")
    for name in EXTRAS:
        if name not in sums and (folder / name).exists():
            raise DataError(
                f"{path} is damaged: {folder / name} is there, but not in it. Take that file "
                "away, or export the model again."
            )
    return sums
