"""Opening picture files of any kind as upright 8-bit RGB."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from qpmstudy.errors import DataError


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return `image` as 8-bit RGB, turned as its EXIF orientation says.

    16-bit grey is scaled to 8 bits (Pillow's own conversion clips it to white),
    transparency is laid over white, and grey, palette and CMYK pictures are converted.
    An upright RGB image comes back unchanged.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        image = Image.fromarray((levels.clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Image.Image]:
    """Open the picture at `path`; errors call it `kind`.

    Raises:
        DataError: the file is missing or is not a picture that can be decoded.
    """
    advice = "restore it from the dataset's archive, or make the dataset again"
    try:
        with Image.open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"The {kind} {path} does not exist: {advice}.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"The {kind} {path} cannot be decoded ({error}): {advice}.") from error


def read_rgb(path: Path) -> Image.Image:
    """Return the picture at `path` as upright 8-bit RGB.

    Raises:
        DataError: the file is missing or is not a picture that can be decoded.
    """
    with opened(path, "image") as image:
        return upright_rgb(image)
