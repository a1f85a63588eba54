"""Which part of an image a backbone sees: shorter side resized, centred square cropped."""

from collections.abc import Mapping

from qpmstudy.errors import DataError


def seen_box(
    width: int, height: int, preprocessing: Mapping[str, object]
) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of the square that `preprocessing` keeps, in pixels.

    Resizing the shorter side to "resize" and keeping a centred square of side "crop" sees a
    centred square of the share crop / resize of the shorter side. Resampling that box in one
    step spares the rounding of an intermediate image, and lets a mask follow the image exactly.

    Raises:
        DataError: "resize" or "crop" is missing, not a positive integer, or crop > resize.
    """
    resize, crop = preprocessing.get("resize"), preprocessing.get("crop")
    if not (isinstance(resize, int) and isinstance(crop, int) and 0 < crop <= resize):
        raise DataError(
            "A backbone's preprocessing needs integers 0 < crop <= resize, but has "
            f"resize={resize!r} and crop={crop!r}: embed the dataset again."
        )
    side = min(width, height) * crop / resize
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
