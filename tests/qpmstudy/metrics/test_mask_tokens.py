"""The masks that Plausibility is measured with, against the reference's tokens.

The reference resizes bilinearly without anti-aliasing and takes every value above 0, so that a
token is decided by four pixels at its centre; here it is the share of its pixels that decides.
"""

from collections.abc import Callable

import numpy as np
import pytest

from qpmstudy.masks import mask_to_grid

Golden = Callable[[str], dict[str, np.ndarray]]
WHOLE_SQUARE = {"resize": 224, "crop": 224}


@pytest.mark.parametrize("image", [0, 2])
def test_both_rules_agree_but_for_tokens_on_the_outline(image: int, golden: Golden) -> None:
    arrays = golden("06_mask_tokenisation")
    mask = arrays[f"in_gray_{image}"] > 0
    height, width = mask.shape
    side = np.lcm(height, width)  # squashed to a square, as the reference does
    mask = mask.repeat(side // height, axis=0).repeat(side // width, axis=1)
    share = mask.reshape(16, side // 16, 16, side // 16).mean((1, 3))
    ours = mask_to_grid(mask, (16, 16), WHOLE_SQUARE).reshape(16, 16)
    reference = arrays[f"out_tokens_{image}"]
    assert (share[ours != reference] > 0).all()
    assert (share[ours != reference] < 1).all()
    assert (ours <= arrays[f"own_any_pixel_tokens_{image}"]).all()
    assert 0 < (ours != reference).mean() < 0.1
