"""Adapter and head as an ONNX graph, for programs that have no torch.

    tokens (batch, T, D) float32 -> logits (batch, C), feature_maps (batch, P, F), scores (batch, F)

Tokens are the backbone's, patches row by row, and CLS last where the adapter reads it (T is P + 1
then). The contribution of feature f to class c is W_cf times its score, where W are the head's
weights: for QPM a logit is the sum of the scores of the class's features. Names of classes, numbers
of features, grid and preprocessing are in the file's metadata. The backbone is not in the file:
its weights belong to others, and ONNX has no word for the sampling of positions that some do.

B images of a batch, T tokens, P patches, D channels, C classes, F features.
"""

import json
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from qpmstudy.classifier import Classifier
from qpmstudy.errors import DataError, NotInstalledError
from qpmstudy.heads import SparseHead
from qpmstudy.inference import TokenModel
from qpmstudy.registry import how_to_install

try:
    import onnx
    import onnxruntime
    import onnxscript  # noqa: F401  (torch's exporter needs it, and says so late)
except ModuleNotFoundError:
    onnx = onnxruntime = None  # type: ignore[assignment]  # mypy knows no optional module

OPSET = 20
"""The newest that ONNX Runtime 1.17, of early 2024, knows."""
INPUT, OUTPUTS = "tokens", ("logits", "feature_maps", "scores")
TOLERANCE = 1e-4
"""How far outputs may be from torch's, as a share of the largest of their kind if above 1."""
ONNX_FACTS = {
    "inputs": INPUT,
    "outputs": ", ".join(OUTPUTS),
    "opset": OPSET,
    "tolerance": TOLERANCE,
}
"""What model.json says of a file that is there."""


class _Graph(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = self.classifier(tokens)
        head = self.classifier.head
        assert isinstance(head, SparseHead)
        return output.logits, output.feature_maps, head.standardised(output.feature_vector)


def onnx_file(model: TokenModel, example: Float[Tensor, "1 T D"]) -> bytes:
    """Return a model's adapter and head as the content of an .onnx file, checked against torch.

    Args:
        model: on the CPU.
        example: tokens of an image, which show the sizes; the file takes batches of any length.

    Raises:
        NotInstalledError: onnx, onnxscript or onnxruntime is not installed.
        DataError: ONNX Runtime gives other numbers than torch.
    """
    needed()
    graph = _Graph(model.classifier).eval()
    pair = torch.cat([example, example.flip(1)])
    program = torch.onnx.export(
        graph,
        (pair,),
        input_names=[INPUT],
        output_names=OUTPUTS,
        dynamic_shapes=({0: "batch"},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None, "with dynamo the exporter always returns a program"
    proto = program.model_proto
    _strip(proto)
    backbone = model.record["backbone"]
    onnx.helper.set_model_props(
        proto,
        {
            "class_names": json.dumps(model.class_names),
            "features": json.dumps(model.selected),
            "backbone": json.dumps(backbone),
        },
    )
    content: bytes = proto.SerializeToString()
    for batch in (pair, example):
        check_onnx(content, model, batch)
    return content


def check_onnx(content: bytes, model: TokenModel, tokens: Float[Tensor, "B T D"]) -> float:
    """Return the largest difference between ONNX Runtime's outputs and torch's, on the CPU.

    Differences are shares, as for `TOLERANCE`.

    Raises:
        NotInstalledError: as `onnx_file`.
        DataError: the file cannot be run, or the difference is above `TOLERANCE`.
    """
    found = run_onnx(content, tokens)
    with torch.inference_mode():
        expected = _Graph(model.classifier).eval()(tokens)
    largest = 0.0
    for name, theirs, ours in zip(OUTPUTS, found, expected, strict=True):
        scale = max(1.0, float(ours.abs().max()))
        largest = max(largest, float(np.abs(theirs - ours.numpy()).max()) / scale)
        if not largest <= TOLERANCE:
            raise DataError(
                f"The ONNX graph gives other {name} than torch: they differ by {largest:.2g}, and "
                f"{TOLERANCE:g} is allowed. Export without --onnx, and tell the project."
            )
    return largest


def run_onnx(content: bytes, tokens: Float[Tensor, "B T D"]) -> list[Float[np.ndarray, "..."]]:
    """Return the `OUTPUTS` of an .onnx file for a batch of tokens, on the CPU.

    Raises:
        NotInstalledError: as `onnx_file`.
        DataError: the file cannot be run.
    """
    needed()
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        outputs: list[np.ndarray] = session.run(list(OUTPUTS), {INPUT: tokens.numpy()})
    except Exception as error:  # its own exceptions have no common class below Exception
        raise DataError(f"ONNX Runtime cannot run the graph: {error}") from error
    return outputs


def needed() -> None:
    """Raise unless everything that this file needs is installed.

    Raises:
        NotInstalledError: it is not.
    """
    if onnx is None:
        raise NotInstalledError(f"ONNX needs three packages more: {how_to_install('onnx')}")


def _strip(proto: Any) -> None:
    """Remove what the exporter notes of the program it ran in, which has paths of this machine."""
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for part in (*proto.graph.input, *proto.graph.output, proto.graph, proto):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for part in proto.functions:
        raise AssertionError(f"the exporter left a function: {part.name}")
