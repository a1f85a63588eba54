"""Explanations as pictures.

overlays.py   drawing feature maps over an image
local.py      the explanation of one prediction, as files
sheet.py      one picture of several explained images, for TensorBoard
"""

from qpmstudy.explain.local import write_explanation
from qpmstudy.explain.sheet import overlay_sheet

__all__ = ["overlay_sheet", "write_explanation"]
