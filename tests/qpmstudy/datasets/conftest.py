"""One tiny dataset of synthetic birds, made once for all tests of this folder."""

from pathlib import Path

import pytest

from qpmstudy.datasets import make_birds
from qpmstudy.datasets.birds import BirdsPreset

TINY = BirdsPreset("tiny", classes=4, train=3, test=2, shift=1)


@pytest.fixture(scope="session")
def tiny() -> BirdsPreset:
    """A preset of 24 images: more than one chunk of work, so that processes share them."""
    return TINY


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("birds") / "tiny"
    make_birds(TINY, root, seed=3, workers=1)
    return root
