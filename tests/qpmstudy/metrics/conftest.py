"""The golden numbers of the reference implementation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PARITY = Path(__file__).parents[2] / "parity"
Golden = Callable[[str], dict[str, np.ndarray]]


@pytest.fixture(scope="session")
def golden() -> Golden:
    """`golden(name)` returns the arrays of one file; maps as image x patch x feature."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(PARITY / f"{name}.npz", allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        if "in_feature_maps" in arrays:
            maps = arrays["in_feature_maps"]
            arrays["maps"] = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1).copy()
            arrays["predicted"] = arrays["in_outputs"].argmax(1)
        return arrays

    return load
