"""Opening a backbone by its name."""

from pathlib import Path

from qpmstudy.backbones import BACKBONES, check_backbone
from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.variants import split_name


def open_backbone(name: str, weights: Path | None = None) -> Backbone:
    """Return the backbone called `name`, with its weights loaded.

    Args:
        name: as registered, with options behind "@" (see variants.py).
        weights: checkpoint file; None takes it from the folder that QPMSTUDY_WEIGHTS names.

    Raises:
        ConfigError: no backbone has this name, its options are not possible, or it has no
            weights and some were given.
        NotInstalledError: it needs a package that is not installed.
        DataError: its weights are missing, damaged or another backbone's.
    """
    check_backbone(name)
    base, _ = split_name(name)
    return BACKBONES.get(base)(name, weights)
