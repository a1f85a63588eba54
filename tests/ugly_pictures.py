"""Pictures as people have them: ugly ones that must be decoded right, and broken ones."""

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

RED, GREEN, BLUE, GREY, WHITE = (220, 30, 20), (20, 200, 40), (30, 40, 210), (90,) * 3, (255,) * 3


def quarters(*colours: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    """A picture of 64 x 48 pixels: upper left, upper right, lower left, lower right."""
    picture = Image.new(mode, (64, 48))
    for place, colour in enumerate(colours):
        x, y = 32 * (place % 2), 24 * (place // 2)
        picture.paste(colour if len(colour) > 1 else colour[0], (x, y, x + 32, y + 24))
    return picture


def seen(picture: Image.Image) -> list[tuple[int, ...]]:
    """The colours in the middle of the quarters, in the same order."""
    width, height = picture.size
    places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    return [tuple(np.asarray(picture)[y, x].tolist()) for x, y in places]


PLAIN = quarters(RED, GREEN, BLUE, GREY)


def exif_of(orientation: object) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def _sixteen_bits() -> Image.Image:
    levels = np.full((48, 64), 257 * 90, np.uint16)
    levels[:24, :32] = 65535
    levels[24:, :32] = 0
    return Image.fromarray(levels)


def _see_through_palette(path: Path) -> None:
    palette = PLAIN.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(path, transparency=palette.getpixel((0, 0)))


def _half_see_through(path: Path) -> None:
    palette = PLAIN.quantize(4)
    first = palette.getpixel((0, 0))
    palette.save(path, transparency=bytes(0 if entry == first else 254 for entry in range(4)))


def _png(width: int, height: int, bits: int, rows: bytes) -> bytes:
    """A PNG of RGB that says it is this large; its rows need not be there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _sixteen_bit_colours(path: Path) -> None:
    levels = (np.asarray(PLAIN).astype(">u2") * 257).reshape(48, -1)
    path.write_bytes(_png(64, 48, 16, b"".join(b"\0" + row.tobytes() for row in levels)))


@dataclass(frozen=True)
class Ugly:
    """How a picture is written, and the colours it must show."""

    write: Callable[[Path], None]
    shown: tuple[tuple[int, ...], ...] = (RED, GREEN, BLUE, GREY)
    tolerance: int = 6


UGLY = {
    "plain.png": Ugly(PLAIN.save, tolerance=0),
    "plain.bmp": Ugly(PLAIN.save, tolerance=0),
    "plain.webp": Ugly(lambda path: PLAIN.save(path, lossless=True), tolerance=0),
    "plain.ppm": Ugly(PLAIN.save, tolerance=0),
    "plain.tif": Ugly(lambda path: PLAIN.save(path, compression="tiff_lzw"), tolerance=0),
    "jpeg inside.png": Ugly(lambda path: PLAIN.save(path, "JPEG", quality=95)),
    "progressive.jpg": Ugly(lambda path: PLAIN.save(path, quality=95, progressive=True)),
    "cmyk.jpg": Ugly(lambda path: PLAIN.convert("CMYK").save(path, quality=95)),
    "cmyk.tif": Ugly(PLAIN.convert("CMYK").save, tolerance=1),
    "grey.jpg": Ugly(PLAIN.convert("L").save, ((86,) * 3, (128,) * 3, (56,) * 3, GREY)),
    "grey and alpha.png": Ugly(
        quarters((9, 255), (9, 0), (200, 255), (0, 51), mode="LA").save,
        ((9,) * 3, WHITE, (200,) * 3, (204,) * 3),
        tolerance=1,
    ),
    "alpha.png": Ugly(
        quarters((*RED, 255), (*GREEN, 0), (*BLUE, 255), (0, 0, 0, 51), mode="RGBA").save,
        (RED, WHITE, BLUE, (204,) * 3),
        tolerance=1,
    ),
    "see-through palette.png": Ugly(_see_through_palette, (WHITE, GREEN, BLUE, GREY)),
    "see-through palette.gif": Ugly(_see_through_palette, (WHITE, GREEN, BLUE, GREY)),
    "see-through colour.png": Ugly(
        lambda path: PLAIN.save(path, transparency=GREEN), (RED, WHITE, BLUE, GREY), tolerance=0
    ),
    "one bit.png": Ugly(
        quarters((1,), (0,), (0,), (1,), mode="1").save, (WHITE, (0,) * 3, (0,) * 3, WHITE)
    ),
    "16 bit.png": Ugly(_sixteen_bits().save, (WHITE, GREY, (0,) * 3, GREY), tolerance=0),
    "16 bit.tif": Ugly(_sixteen_bits().save, (WHITE, GREY, (0,) * 3, GREY), tolerance=0),
    "turned right.jpg": Ugly(
        lambda path: PLAIN.save(path, quality=95, exif=exif_of(6)), (BLUE, RED, GREY, GREEN)
    ),
    "upside down.png": Ugly(
        lambda path: PLAIN.save(path, exif=exif_of(3)), (GREY, BLUE, GREEN, RED), tolerance=0
    ),
    "mirrored.webp": Ugly(
        lambda path: PLAIN.save(path, lossless=True, exif=exif_of(2)), (GREEN, RED, GREY, BLUE)
    ),
    "no such turn.jpg": Ugly(lambda path: PLAIN.save(path, quality=95, exif=exif_of(17))),
    "several frames.gif": Ugly(
        lambda path: PLAIN.save(path, save_all=True, append_images=[PLAIN.rotate(180)])
    ),
    "several frames.webp": Ugly(
        lambda path: PLAIN.save(
            path, save_all=True, lossless=True, append_images=[PLAIN.rotate(180)]
        )
    ),
    "several pages.tif": Ugly(
        lambda path: PLAIN.save(path, save_all=True, append_images=[PLAIN.rotate(180)])
    ),
    "half see-through palette.png": Ugly(_half_see_through, (WHITE, GREEN, BLUE, GREY)),
    "16 bit.pgm": Ugly(_sixteen_bits().save, (WHITE, GREY, (0,) * 3, GREY), tolerance=0),
    "16 bit colours.png": Ugly(_sixteen_bit_colours, tolerance=1),
    "鳥 Émeu  %20'\"#1.png": Ugly(PLAIN.save, tolerance=0),
}


def _truncated(suffix: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, suffix)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return write


def _bomb(width: int, height: int) -> Callable[[Path], None]:
    """A PNG that says it is this large; nothing of it needs to be there to be refused."""
    return lambda path: path.write_bytes(_png(width, height, 8, bytes(1000))) and None


def _levels(values: float, kind: type) -> Callable[[Path], None]:
    """Grey levels up to `values` in 32 bits."""
    return Image.fromarray(np.linspace(0, values, 48 * 64).reshape(48, 64).astype(kind)).save


BROKEN = {
    "truncated.jpg": (_truncated("JPEG"), "cannot be decoded .*truncated"),
    "truncated.png": (_truncated("PNG"), "cannot be decoded .*truncated"),
    "truncated.gif": (_truncated("GIF"), "cannot be decoded "),
    "truncated.tif": (_truncated("TIFF"), "cannot be decoded "),
    "truncated.webp": (_truncated("WEBP"), "cannot be decoded "),
    "empty.jpg": (Path.touch, "cannot be decoded .*cannot identify"),
    "text.jpg": (lambda path: path.write_text("no picture"), "cannot be decoded .*cannot identify"),
    "vector.png": (lambda path: path.write_text("<svg/>"), "cannot be decoded .*cannot identify"),
    "fractions.tif": (_levels(1, np.float32), "cannot be decoded .*grey levels from 0 to 1 in 32"),
    "32 bit.tif": (_levels(255, np.int32), "cannot be decoded .*none is known to be white"),
    "folder.jpg": (Path.mkdir, "is no file: take it away"),
    "pipe.jpg": (os.mkfifo, "is no file: take it away"),
    "nowhere.jpg": (lambda path: path.symlink_to("nowhere"), "does not exist"),
    "huge.png": (_bomb(12_000, 8_000), r"has 12000 x 8000 pixels, more than the 89,478,485"),
    "bomb.png": (_bomb(60_000, 60_000), r"cannot be decoded .*decompression bomb"),
}
