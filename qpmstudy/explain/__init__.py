"""Explanations as pictures.

overlays.py   drawing feature maps over an image
captions.py   pictures side by side, with words above them
drawing.py    one image and where a model's features fire in it
colouring.py  which feature has which colour
local.py      the explanation of one prediction, as files
contrast.py   why one class and not another
overview.py   which class uses which feature, as a picture; overview_page.py, as a page
sheet.py      one picture of several explained images, for TensorBoard

Of a whole model, as pages:

class_page.py     one class, or two side by side
feature_page.py   one feature
failure_page.py   mistakes
seen.py           which images are worth showing
page.py           what is on a page; page_picture.py and page_html.py show it
document.py       an HTML file that needs no network, whatever is on it
"""

from qpmstudy.explain.local import write_explanation
from qpmstudy.explain.sheet import overlay_sheet

__all__ = ["overlay_sheet", "write_explanation"]
