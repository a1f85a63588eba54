"""Files of published weights: found, read without running code, hashed."""

import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from qpmstudy.backbones.catalogue import Entry
from qpmstudy.backbones.hub import NotFetchedError, fetch
from qpmstudy.errors import DataError

FOLDER = "QPMSTUDY_WEIGHTS"
"""Environment variable with the folder of weights."""


def find_weights(entry: Entry) -> Path:
    """Return the checkpoint of `entry`: `.pth` or `.safetensors` in the folder of weights.

    What is not there is fetched from timm's hub, where there is internet.

    Raises:
        DataError: it is in neither.
    """
    named = os.environ.get(FOLDER)
    if named:
        for file in entry.files:
            for path in (Path(named, file), Path(named, file).with_suffix(".safetensors")):
                if path.is_file():
                    return path
    try:
        return fetch(entry)
    except NotFetchedError as error:
        where = (
            f"no {' or '.join(entry.files)} lies in {named}" if named else f"{FOLDER} is not set"
        )
        raise DataError(
            f"The weights of {entry.name!r} are not here: {where}. Get {entry.files[0]} from "
            f"{entry.source}, put it into a folder and set {FOLDER} to that folder, or name the "
            f"file with --weights. ({entry.hub} on timm's hub gives none: {error}.)"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file by name, on the CPU. No code in the file is run.

    Raises:
        DataError: the file is missing, damaged, holds code, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"There are no weights at {path}: give the path of the file.") from error
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,  # a zip archive cut short
        EOFError,
        OSError,
        ValueError,
        LookupError,
        AttributeError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} cannot be read as weights without running code in it "
            f"({type(error).__name__}: {reason}): fetch the published file again, or store its "
            "tensors as .safetensors."
        ) from error
    others = (
        [name for name, value in content.items() if not isinstance(value, Tensor)]
        if isinstance(content, dict)
        else [type(content).__name__]
    )
    if others:
        raise DataError(
            f"{path} must hold tensors by name and nothing else, but holds {listed(others)}: "
            "take the file that its authors publish for the backbone alone."
        )
    return {name: tensor.detach() for name, tensor in content.items()}


def weight_hash(tensors: Mapping[str, Tensor], *facts: object) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of tensors, and over `facts`.

    The same for the same tensors in either file format, in any order.
    """
    digest = hashlib.sha256(repr(facts).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def listed(names: list[str]) -> str:
    """Return the first of some names for a message, and how many more there are."""
    shown = ", ".join(sorted(map(str, names))[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
