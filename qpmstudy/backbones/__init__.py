"""Frozen backbones: one registry, one function that opens them.

base.py               what a backbone is
geometry.py           which part of an image it sees
preprocessing.py      the pixels of that part
catalogue.py          pretrained: which there are, a table
variants.py           pretrained: layer, norm, size and precision in their names
checkpoints.py        pretrained: files of weights; hub.py, where they are fetched from
networks.py           pretrained: networks, their tokens
filling.py            pretrained: published weights put into a network
pretrained.py         pretrained: the backbone itself
pixels.py             no network: pixels as tokens
statistics.py         patch descriptor: 93 statistics of a patch
context.py            patch descriptor: what a token knows of its surroundings
calibration.py        patch descriptor: how its constants were found
patch_descriptor.py   patch descriptor: the backbone itself
"""

from collections.abc import Callable
from pathlib import Path

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.catalogue import CATALOGUE
from qpmstudy.backbones.variants import parse, refuse_options, split_name
from qpmstudy.registry import Registry

BACKBONES: Registry[Callable[[str, Path | None], Backbone]] = Registry(
    "backbone",
    {
        "patch-descriptor": "qpmstudy.backbones.patch_descriptor:open_patch_descriptor",
        **dict.fromkeys(CATALOGUE, "qpmstudy.backbones.pretrained:open_pretrained"),
        **dict.fromkeys(("pixels", "pixels-112"), "qpmstudy.backbones.pixels:open_pixels"),
    },
)
"""Opens a backbone, given its name and the file of its weights (None: where they usually are)."""


def check_backbone(name: str) -> None:
    """Raise unless `name` is a backbone's; no weights are looked for and nothing is imported.

    Raises:
        ConfigError: no backbone has this name, or its options are not possible.
    """
    base, options = split_name(name)
    BACKBONES.check(base)
    if base in CATALOGUE:
        parse(name)
    else:
        refuse_options(base, options)


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


__all__ = ["BACKBONES", "Backbone", "check_backbone", "open_backbone"]
