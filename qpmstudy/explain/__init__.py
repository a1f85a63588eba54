"""Explanations as pictures.

overlays.py   drawing feature maps over an image
drawing.py    one image and where a model's features fire in it
local.py      the explanation of one prediction, as files
contrast.py   why one class and not another
overview.py   which class uses which feature, as a picture and as a page
sheet.py      one picture of several explained images, for TensorBoard
"""

from qpmstudy.explain.local import write_explanation
from qpmstudy.explain.sheet import overlay_sheet

__all__ = ["overlay_sheet", "write_explanation"]
