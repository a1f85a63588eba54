"""Object masks on the patch grid of a backbone."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from torch.nn.functional import interpolate

from qpmstudy.backbones.geometry import seen_box

# A token that is half object is as likely to respond to the object as to what is behind it.
OBJECT_SHARE = 0.5


def mask_to_grid(
    mask: Bool[np.ndarray, "H W"], grid: tuple[int, int], preprocessing: Mapping[str, object]
) -> UInt8[np.ndarray, " P"]:
    """Return which tokens belong to the object: 1 where at least half of a token's pixels do.

    A pixel is the token's in which its centre lies.

    `mask` has the size of the image; `grid` and `preprocessing` are the backbone's, so that
    the tokens are those of the square the backbone sees. Row-major over the grid.

    Raises:
        DataError: `preprocessing` does not say what part of the image is seen.
    """
    height, width = mask.shape
    rows, columns = grid
    share = Image.fromarray(mask.astype(np.float32)).resize(
        (columns, rows), Image.Resampling.BOX, box=seen_box(width, height, preprocessing)
    )
    return (np.asarray(share) >= OBJECT_SHARE).astype(np.uint8).ravel()


def mask_to_grid_reference(
    levels: UInt8[np.ndarray, "H W"], grid: tuple[int, int]
) -> UInt8[np.ndarray, " P"]:
    """Return the object's tokens as the reference implementation does; row-major over the grid.

    `levels` are the grey levels of a segmentation as stored, squeezed into the grid whatever
    their aspect ratio. Each token is interpolated between the four pixels at its centre, and is 1
    where the level, rounded as in an 8-bit picture, is above 0: thin parts vanish, and what a
    single annotator marked counts in full.
    """
    stored = torch.from_numpy(levels).double()
    tokens = interpolate(stored[None, None], size=grid, mode="bilinear")
    return (tokens.numpy() >= 0.5).astype(np.uint8).ravel()
