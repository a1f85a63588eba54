"""Opening picture files of any kind as upright 8-bit RGB."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from PIL import ExifTags, Image

from qpmstudy.datasets.regions import cut, split_region
from qpmstudy.errors import DataError

# Pillow knows more, some of which hand the file to other programs (EPS to Ghostscript).
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pnm", ".pbm"}
)

# Where Pillow begins to warn of decompression bombs: 256 MiB as RGB.
MAX_PIXELS = 89_478_485

# Pillow's decoders raised the first three, and the last, for 120,000 damaged files of these
# formats; its sources raise the other two as well.
UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)

RESTORE = "restore it from the dataset's archive, or make the dataset again"
NAME_ANOTHER = f"name a file that is a picture ({', '.join(sorted(SUFFIXES))})"
"""What to do about a picture that is a dataset's, and about one that somebody named."""

# How to show a picture stored with each EXIF orientation; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUARTER = 5
"""From this orientation on a picture is shown with width and height exchanged."""


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a stored picture; 1 where it has none or no valid one."""
    value = image.getexif().get(ExifTags.Base.Orientation)
    return value if value in TURNS else 1


def turned(image: Image.Image, stored_as: int) -> Image.Image:
    """Return a picture stored with this EXIF orientation as it is meant to be seen.

    Pillow's own function also writes the other EXIF data anew, which fails where they are damaged.
    """
    if stored_as not in TURNS:
        return image
    upright = image.transpose(TURNS[stored_as])
    # Pillow keeps the old orientation with the turned picture: who looks again would turn it again.
    kept = ("transparency",)
    upright.info = {key: value for key, value in upright.info.items() if key in kept}
    return upright


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return `image` as 8-bit RGB, turned as its EXIF orientation says.

    16-bit grey is scaled to 8 bits (Pillow's own conversion clips it to white),
    transparency is laid over white, and grey, palette and CMYK pictures are converted.
    An upright RGB image comes back unchanged.

    Raises:
        ValueError: its levels of grey are fractions, or too many for 16 bits: nothing says which
            of them is white.
    """
    image.load()  # what comes back must not need the file any more
    format_ = image.format
    image = turned(image, orientation(image))
    if image.mode.startswith(("I", "F")):
        levels = _sixteen_bits(image, format_)
        image = Image.fromarray((levels // 257).astype(np.uint8))
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _sixteen_bits(image: Image.Image, format_: str | None) -> Int64[np.ndarray, "H W"]:
    levels = np.asarray(image)
    # Pillow has 16 bits of other formats as whole numbers of 32, and scales them to 65535 first.
    unscaled = image.mode == "F" or (image.mode == "I" and format_ == "TIFF")
    if unscaled or levels.min() < 0 or levels.max() > 65535:
        raise ValueError(
            f"grey levels from {levels.min():g} to {levels.max():g} in 32 bits, of which none is "
            "known to be white: store it with 8 or 16 bits"
        )
    return levels.astype(np.int64)


@contextmanager
def opened(path: Path, kind: str, advice: str = RESTORE) -> Iterator[Image.Image]:
    """Open the picture at `path`; errors call it `kind`, and end with what to do.

    Raises:
        DataError: the file is missing, has more than `MAX_PIXELS` pixels, or is not a picture
            in one of `FORMATS` that can be decoded.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise DataError(f"The {kind} {path} is no file: take it away, or {advice}.")
        with Image.open(path, formats=FORMATS) as file:
            if file.width * file.height > MAX_PIXELS:
                raise DataError(
                    f"The {kind} {path} has {file.width} x {file.height} pixels, more than the "
                    f"{MAX_PIXELS:,} that are decoded: store a smaller copy in its place."
                )
            yield file
    except FileNotFoundError as error:
        raise DataError(f"The {kind} {path} does not exist: {advice}.") from error
    except UNDECODABLE as error:
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise DataError(f"The {kind} {path} cannot be decoded ({reason}): {advice}.") from error


def read_rgb(path: Path, advice: str = RESTORE) -> Image.Image:
    """Return the picture at `path`, or the part that a fragment names, as upright 8-bit RGB.

    Args:
        path: the file.
        advice: what to do where it cannot be read; the default is about a dataset's images.

    Raises:
        DataError: the file is missing or is not a picture that can be decoded, or the part
            that "#xywh=..." behind the path names lies outside it.
    """
    file, region = split_region(str(path))
    with opened(Path(file), "image", advice) as image:
        return upright_rgb(cut(image, region))
