"""A part of a picture, named behind its path as in W3C Media Fragments.

    001.Albatross/0046.jpg#xywh=60,27,325,304

is the rectangle of 325 x 304 pixels whose upper left corner lies 60 pixels right of and 27 below
that of the stored picture (before any turn that its EXIF data ask for). So the id of an image
says all that decides its pixels, wherever ids travel: stores, overlays, predictions.
"""

import re
from typing import NamedTuple

from PIL import Image

from qpmstudy.errors import DataError

FRAGMENT = re.compile(r"(?P<path>.+)#xywh=(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})", re.DOTALL)


class Region(NamedTuple):
    """A rectangle in pixels of the stored picture: upper left corner and extent."""

    x: int
    y: int
    width: int
    height: int

    def of(self, path: str) -> str:
        """Return the id of this part of the picture at `path`."""
        return f"{path}#xywh={self.x},{self.y},{self.width},{self.height}"


def split_region(image_id: str) -> tuple[str, Region | None]:
    """Return the path in an id and the part of the picture it names; None is all of it."""
    match = FRAGMENT.fullmatch(image_id)
    if match is None:
        return image_id, None
    return match["path"], Region(*map(int, match.groups()[1:]))


def cut(picture: Image.Image, region: Region | None) -> Image.Image:
    """Return what of `picture` lies in `region`; all of it for None.

    Annotated boxes may reach a little over the edge of their picture: they are clipped.

    Raises:
        DataError: nothing of the picture lies in the region.
    """
    if region is None:
        return picture
    right = min(region.x + region.width, picture.width)
    bottom = min(region.y + region.height, picture.height)
    if region.x >= right or region.y >= bottom:
        raise DataError(
            f"The region {','.join(map(str, region))} (x, y, width, height) lies outside a picture "
            f"of {picture.width} x {picture.height} pixels: the box or the picture is another's; "
            "restore both from the dataset's archive."
        )
    return picture.crop((region.x, region.y, right, bottom))
