"""Synthetic birds: cartoon birds whose classes are combinations of shared attributes.

presets.py       sizes
attributes.py    which attributes each class has
shapes.py        the polygons of one bird
backgrounds.py   what is behind and in front of it
render.py        one image with its mask and part locations
writer.py        a dataset in the folder layout of CUB-200-2011
"""

from qpmstudy.datasets.birds.presets import PRESETS, BirdsPreset
from qpmstudy.datasets.birds.writer import make_birds

__all__ = ["PRESETS", "BirdsPreset", "make_birds"]
