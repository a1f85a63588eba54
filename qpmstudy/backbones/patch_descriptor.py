"""The patch descriptor: a small frozen backbone that needs no download.

Statistics of every patch, with context, projected to D = 96. Its constants are those that
`calibration.calibrate` found and wrote to patch_descriptor.safetensors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.context import contextualised, saliency
from qpmstudy.backbones.preprocessing import preprocessing_of
from qpmstudy.backbones.statistics import PATCH, SIDE, STATISTICS, patch_statistics
from qpmstudy.errors import DataError
from qpmstudy.files import sha256

WEIGHTS = Path(__file__).with_name("patch_descriptor.safetensors")
DIM = 96
CLAMP = 4.0  # standard deviations beyond which a statistic says no more

_SHAPES = {
    "statistic_mean": (STATISTICS,),
    "statistic_scale": (STATISTICS,),
    "projection": (5 * STATISTICS, DIM),
    "offset": (DIM,),
}


class PatchDescriptor(Backbone):
    """Tokens from hand-made statistics: the embedded default, on the CPU."""

    name = "patch-descriptor"
    dim = DIM
    grid = (SIDE, SIDE)

    def __init__(self, weights: Path = WEIGHTS) -> None:
        """Load the constants.

        Raises:
            DataError: the file of constants is missing or damaged.
        """
        self._constants = _load(weights)
        self.weight_hash = sha256(weights)
        self.preprocessing = preprocessing_of(SIDE * PATCH, "bilinear", [0.0] * 3, [1.0] * 3)

    def normalised(self, pixels: UInt8[Tensor, "B 3 224 224"]) -> Float[Tensor, "B 3 224 224"]:
        """Return the pixels on a scale from 0 to 1."""
        return pixels / 255

    @torch.no_grad()
    def embed(
        self, images: Float[Tensor, "B 3 224 224"]
    ) -> tuple[Float[Tensor, "B 256 96"], Float[Tensor, "B 96"]]:
        """Return the tokens, row-major, and their saliency-weighted mean as the CLS vector."""
        tokens = torch.empty(len(images), SIDE * SIDE, DIM)
        cls = torch.empty(len(images), DIM)
        with _one_thread():
            self._embed(images, tokens, cls)
        return tokens, cls

    def _embed(self, images: Tensor, tokens: Tensor, cls: Tensor) -> None:
        # One image at a time: the size of a batch must not change the rounding of its images.
        for index, image in enumerate(images.cpu()):
            z = standardised(patch_statistics(image), self._constants)
            weights = saliency(z)
            context = contextualised(z, weights)
            tokens[index] = context @ self._constants["projection"] + self._constants["offset"]
            cls[index] = weights @ tokens[index]


def open_patch_descriptor(_: str, weights: Path | None) -> PatchDescriptor:
    """Return the patch descriptor with the constants it is shipped with, or others."""
    return PatchDescriptor() if weights is None else PatchDescriptor(weights)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: on pieces this small a second one waits more than it works.

    With another process on the second of two cores, two threads took 20 times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def standardised(
    statistics: Float[Tensor, "P S"], constants: dict[str, Tensor]
) -> Float[Tensor, "P S"]:
    """Return z, the statistics in calibration standard deviations, clamped."""
    z = (statistics - constants["statistic_mean"]) / constants["statistic_scale"]
    return z.clamp(-CLAMP, CLAMP)


def _load(path: Path) -> dict[str, Tensor]:
    """Return the constants in the file at `path`."""
    advice = "install qpmstudy again"
    try:
        constants = load(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"The patch descriptor has no constants at {path}: {advice}.") from error
    except SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}): {advice}.") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in constants.items()}
    if shapes != _SHAPES:
        raise DataError(f"{path} has arrays {shapes}, expected {_SHAPES}: {advice}.")
    return constants
