"""Frozen backbones: one registry, one function that opens them.

base.py               what a backbone is
geometry.py           which part of an image it sees
statistics.py         patch descriptor: 93 statistics of a patch
context.py            patch descriptor: what a token knows of its surroundings
calibration.py        patch descriptor: how its constants were found
patch_descriptor.py   patch descriptor: the backbone itself
"""

from collections.abc import Callable

from qpmstudy.backbones.base import Backbone
from qpmstudy.registry import Registry

BACKBONES: Registry[Callable[[], Backbone]] = Registry(
    "backbone", {"patch-descriptor": "qpmstudy.backbones.patch_descriptor:PatchDescriptor"}
)


def open_backbone(name: str) -> Backbone:
    """Return the backbone called `name`, with its weights loaded.

    Raises:
        ConfigError: no backbone has this name.
        NotInstalledError: it needs a package that is not installed.
        DataError: its weights are missing or damaged.
    """
    return BACKBONES.get(name)()


__all__ = ["BACKBONES", "Backbone", "open_backbone"]
