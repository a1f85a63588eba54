"""Does an exported model still say what it said when its study measured it?"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from qpmstudy.errors import DataError, NotInstalledError
from qpmstudy.example import Example, read_example
from qpmstudy.exported import CONTENT, EXTRAS, StoredModel, read_model, with_backbone
from qpmstudy.onnx_file import check_onnx

FROM_TOKENS = 1e-4
"""Adapter and head on other hardware sum in another order, no more."""
FROM_PICTURE = 1e-2
"""A backbone on other hardware may round tokens to a neighbour in half precision."""


def verify_model(folder: Path, weights: Path | None = None) -> list[str]:
    """Return what was checked of an exported model, in words, if all of it holds.

    Every file against its checksum, the backbone's weights, and the predictions of the example:
    from its tokens by adapter and head, from its picture by the whole model, and by the ONNX
    graph if there is one.

    Args:
        folder: the model.
        weights: checkpoint of its backbone; None takes it from where it usually is.

    Raises:
        DataError: something does not hold: a changed or missing file, other weights of the
            backbone, or another prediction.
    """
    model = read_model(folder)
    example = read_example(model)
    kept = [name for name in (*CONTENT, *EXTRAS) if (folder / name).is_file()]
    told = [f"files: {', '.join(kept)} are those of the export"]
    if example is not None:
        far = _compared(model, _logits(model, example), example, FROM_TOKENS, "tokens")
        told.append(f"adapter and head: logits of the example's tokens within {far:.1g}")
        told += _onnx(model, example)
    ready = with_backbone(model, weights)
    backbone = model.record["backbone"]
    told.append(f"backbone: {backbone['name']}, weights {backbone['weight_hash'][:12]}")
    if example is None:
        told.append("no prediction was checked: the model was exported without an example")
        return told
    (prediction,) = ready.predict_pixels(example.pixels[None])
    far = _compared(model, prediction.logits, example, FROM_PICTURE, "picture")
    (label,) = prediction.top(1)
    told.append(
        f"whole model: logits of the example's picture within {far:.1g}; it says "
        f"{model.class_names[label]}, {prediction.probabilities[label]:.1%}"
    )
    return told


def _logits(model: StoredModel, example: Example) -> Float[Tensor, " C"]:
    (prediction,) = model.predict_tokens(example.tokens.float()[None])
    return prediction.logits


def _onnx(model: StoredModel, example: Example) -> list[str]:
    path = model.folder / "model.onnx"
    if not path.is_file():
        return []
    try:
        far = check_onnx(path.read_bytes(), model, example.tokens.float()[None])
    except NotInstalledError as error:
        return [f"ONNX: not run. {error}"]
    return [f"ONNX: outputs for the example's tokens within {far:.1g} of torch's"]


def _compared(
    model: StoredModel, found: Float[Tensor, " C"], example: Example, tolerance: float, what: str
) -> float:
    """Return the largest difference between logits, as a share of the largest logit above 1.

    Raises:
        DataError: it is above `tolerance`, or not a number.
    """
    if found.shape != example.logits.shape:
        raise DataError(
            f"The example of {model.folder} has logits of {len(example.logits)} classes, the model "
            f"{len(found)}: the files are of different models; export it again."
        )
    scale = max(1.0, float(example.logits.abs().max()))
    far = float((found - example.logits).abs().max()) / scale
    if not far <= tolerance:
        labels = (int(torch.argmax(example.logits)), int(torch.argmax(found)))
        then, now = (model.class_names[label] for label in labels)
        raise DataError(
            f"{model.folder} does not reproduce its example from the {what}: logits differ by "
            f"{far:.2g}, and {tolerance:g} is allowed (then {then!r}, now {now!r}). "
            + (
                "Adapter, head or tokens are not those of the export: export the model again."
                if what == "tokens"
                else "The picture, or what the backbone makes of it, is not that of the export."
            )
        )
    return far
