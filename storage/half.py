"""Tokens in the half precision that stores hold, and what is not fit for it."""

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from qpmstudy.errors import DataError

LARGEST = torch.finfo(torch.float16).max
"""65504. bfloat16 would reach 3e38, but keeps 8 bits of a number where float16 keeps 11: it loses
eight times as much of layer-normed tokens (tests/benchmarks/results/embed.md), which stay small."""


def half(
    tokens: Float[Tensor, "n *rest"], ids: tuple[str, ...], backbone: str
) -> Float16[np.ndarray, "n *rest"]:
    """Return tokens of the images `ids` as float16.

    Raises:
        DataError: a value is not finite, or beyond 65504; the image is named.
    """
    peaks = tokens.abs().flatten(1).amax(dim=1)
    for image, peak in zip(ids, peaks.tolist(), strict=True):
        if peak <= LARGEST:
            continue
        if np.isfinite(peak):
            raise DataError(
                f"The backbone {backbone!r} gives the image {image} a token with the value "
                f"{peak:.4g}, but stores hold float16, which ends at {LARGEST:g}. Take tokens "
                "behind the final norm (leave out norm=no) or of another layer (layer=...)."
            )
        raise DataError(
            f"The backbone {backbone!r} gives the image {image} a token that is {peak}: its "
            "weights are damaged, or too large for their precision. Get the published file again."
        )
    return tokens.half().numpy()
