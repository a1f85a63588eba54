"""Frozen backbones: one registry, one function that opens them (`opening`, which needs torch).

base.py               what a backbone is
opening.py            a backbone by its name
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
from typing import TYPE_CHECKING

from qpmstudy.backbones.catalogue import CATALOGUE
from qpmstudy.backbones.variants import parse, refuse_options, split_name
from qpmstudy.config import PIXELS
from qpmstudy.registry import Registry

if TYPE_CHECKING:
    from qpmstudy.backbones.base import Backbone

BACKBONES: "Registry[Callable[[str, Path | None], Backbone]]" = Registry(
    "backbone",
    {
        "patch-descriptor": "qpmstudy.backbones.patch_descriptor:open_patch_descriptor",
        **dict.fromkeys(CATALOGUE, "qpmstudy.backbones.pretrained:open_pretrained"),
        **dict.fromkeys(PIXELS, "qpmstudy.backbones.pixels:open_pixels"),
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


__all__ = ["BACKBONES", "check_backbone"]
