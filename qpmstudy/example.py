"""The example that an exported model keeps: one image, its tokens, and what was said of it.

example.png           the square of the image that the backbone sees, at the backbone's size
example.safetensors   "tokens" (T, D) float16 as the store held them, "logits" (C,) as the study's
                      evaluation measured them
model.json            "example": the image's id, split and class

With tokens and picture apart, a prediction that no longer comes out can be traced: to the
classifier if the tokens give other logits, else to backbone and preprocessing.

T tokens, D channels, C classes.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16, UInt8
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from qpmstudy.datasets.pictures import read_rgb
from qpmstudy.errors import DataError
from qpmstudy.exported import StoredModel, read_tensors

PICTURE, TENSORS = "example.png", "example.safetensors"


@dataclass(frozen=True)
class Example:
    """An image as a model sees it, and the logits that its study measured for it."""

    pixels: UInt8[Tensor, "3 side side"]
    tokens: Float16[Tensor, "T D"]
    logits: Float[Tensor, " C"]

    def files(self) -> dict[str, bytes]:
        """Return the contents of the two files that hold it."""
        picture = io.BytesIO()
        Image.fromarray(self.pixels.permute(1, 2, 0).numpy()).save(picture, "PNG")
        tensors = {"tokens": self.tokens.contiguous(), "logits": self.logits.contiguous()}
        return {PICTURE: picture.getvalue(), TENSORS: save(tensors)}


def read_example(model: StoredModel) -> Example | None:
    """Return the example of an exported model; None where it was exported without one.

    Raises:
        DataError: a file of it is missing or cannot be read.
    """
    if model.record.get("example") is None:
        return None
    paths: list[Path] = [model.folder / name for name in (PICTURE, TENSORS)]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing: export the model again.")
    tensors = read_tensors(paths[1])
    pixels = torch.from_numpy(np.array(read_rgb(paths[0]))).permute(2, 0, 1).contiguous()
    try:
        return Example(pixels, tensors["tokens"], tensors["logits"])
    except KeyError as error:
        raise DataError(f"{paths[1]} has no {error}: export the model again.") from error
