"""The ugliest folder of pictures: each is decoded right, or refused by its name."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from qpmstudy.datasets import broken_images, open_dataset
from qpmstudy.datasets.pictures import MAX_PIXELS, read_rgb, upright_rgb
from qpmstudy.datasets.regions import Region, split_region
from qpmstudy.errors import DataError

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


def _exif(orientation: object) -> Image.Exif:
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
        lambda path: PLAIN.save(path, quality=95, exif=_exif(6)), (BLUE, RED, GREY, GREEN)
    ),
    "upside down.png": Ugly(
        lambda path: PLAIN.save(path, exif=_exif(3)), (GREY, BLUE, GREEN, RED), tolerance=0
    ),
    "mirrored.webp": Ugly(
        lambda path: PLAIN.save(path, lossless=True, exif=_exif(2)), (GREEN, RED, GREY, BLUE)
    ),
    "no such turn.jpg": Ugly(lambda path: PLAIN.save(path, quality=95, exif=_exif(17))),
    "several frames.gif": Ugly(
        lambda path: PLAIN.save(path, save_all=True, append_images=[PLAIN.rotate(180)])
    ),
}


def _truncated(suffix: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, suffix)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return write


def _bomb(width: int, height: int) -> Callable[[Path], None]:
    """A PNG that says it is this large; nothing of it needs to be there to be refused."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    def write(path: Path) -> None:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        content = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + content)

    return write


BROKEN = {
    "truncated.jpg": (_truncated("JPEG"), "cannot be decoded .*truncated"),
    "truncated.png": (_truncated("PNG"), "cannot be decoded .*truncated"),
    "truncated.gif": (_truncated("GIF"), "cannot be decoded "),
    "truncated.tif": (_truncated("TIFF"), "cannot be decoded "),
    "truncated.webp": (_truncated("WEBP"), "cannot be decoded "),
    "empty.jpg": (Path.touch, "cannot be decoded .*cannot identify"),
    "text.jpg": (lambda path: path.write_text("no picture"), "cannot be decoded .*cannot identify"),
    "vector.png": (lambda path: path.write_text("<svg/>"), "cannot be decoded .*cannot identify"),
    "huge.png": (_bomb(12_000, 8_000), r"has 12000 x 8000 pixels, more than the 89,478,485"),
    "bomb.png": (_bomb(60_000, 60_000), r"cannot be decoded .*decompression bomb"),
}


@pytest.fixture(scope="module")
def ugly_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ugly")
    for name, ugly in UGLY.items():
        (root / "fine").mkdir(exist_ok=True)
        ugly.write(root / "fine" / name)
    for name, (write, _) in BROKEN.items():
        (root / "broken").mkdir(exist_ok=True)
        write(root / "broken" / name)
    PLAIN.save(root / "broken" / "whole.png", compress_level=1)
    return root


@pytest.mark.parametrize("name", list(UGLY))
def test_it_is_decoded_as_it_is_meant(name: str, ugly_root: Path) -> None:
    picture = read_rgb(ugly_root / "fine" / name)
    assert picture.mode == "RGB"
    assert np.abs(np.subtract(seen(picture), UGLY[name].shown)).max() <= UGLY[name].tolerance


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", list(BROKEN))
def test_it_is_refused_by_its_name(name: str, ugly_root: Path) -> None:
    with pytest.raises(DataError, match=rf"image .*broken.{name} {BROKEN[name][1]}"):
        read_rgb(ugly_root / "broken" / name)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_folder_as_a_dataset(ugly_root: Path) -> None:
    dataset = open_dataset("folder", ugly_root)
    assert len(dataset) == len(UGLY) + len(BROKEN) + 1
    broken = broken_images(dataset)
    assert {image_id for image_id, _ in broken} == {f"broken/{name}" for name in BROKEN}
    for image_id, reason in broken:
        assert str(ugly_root / image_id) in reason


def test_other_programs_are_not_asked(tmp_path: Path) -> None:
    """PostScript under a picture's name would make Pillow start Ghostscript."""
    path = tmp_path / "bird.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with Image.open(path) as postscript:
        assert postscript.format == "EPS"
    with pytest.raises(DataError, match=r"bird\.jpg cannot be decoded .*cannot identify"):
        read_rgb(path)


def test_what_was_read_needs_its_file_no_more(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "a.jpg", quality=95)
    picture = read_rgb(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").unlink()
    assert np.asarray(picture).shape == (48, 64, 3)


def test_damaged_exif_data_cost_no_picture(tmp_path: Path) -> None:
    """A tag of the wrong type: Pillow cannot write it again, but nobody needs to."""
    exif = _exif(6)
    exif[ExifTags.Base.XResolution] = 72.0
    PLAIN.save(tmp_path / "a.jpg", quality=95, exif=exif)
    content = (tmp_path / "a.jpg").read_bytes()
    start = content.index(b"Exif\0\0")
    entry = content.index(struct.pack(">HHI", 0x011A, 5, 1), start)
    for kind in range(14):
        damaged = content[: entry + 2] + struct.pack(">H", kind) + content[entry + 4 :]
        (tmp_path / "b.jpg").write_bytes(damaged)
        assert read_rgb(tmp_path / "b.jpg").size == (48, 64)


@pytest.fixture(scope="module")
def wholes(ugly_root: Path) -> dict[str, bytes]:
    names = ("plain.png", "plain.tif", "turned right.jpg", "see-through palette.gif", "16 bit.png")
    return {name: (ugly_root / "fine" / name).read_bytes() for name in names}


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_gives_a_picture_or_one_error(
    wholes: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(wholes)))
    content = bytearray(wholes[name])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, min(300, len(content)) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        picture = read_rgb(path)
    except DataError as error:
        assert "damaged.jpg" in str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert picture.mode == "RGB"
        assert picture.width * picture.height <= MAX_PIXELS


@given(
    x=st.integers(0, 70), y=st.integers(0, 50), width=st.integers(1, 99), height=st.integers(1, 99)
)
@settings(max_examples=40, deadline=None)
def test_a_region_is_the_rectangle_that_it_names(
    ugly_root: Path, x: int, y: int, width: int, height: int
) -> None:
    path = ugly_root / "fine" / "plain.png"
    part = Region(x, y, width, height)
    assert split_region(part.of("a b/c.png")) == ("a b/c.png", part)
    if x >= 64 or y >= 48:
        with pytest.raises(DataError, match=r"lies outside a picture of 64 x 48 pixels"):
            read_rgb(Path(part.of(str(path))))
        return
    expected = np.asarray(PLAIN)[y : y + height, x : x + width]
    assert np.array_equal(read_rgb(Path(part.of(str(path)))), expected)


@pytest.mark.parametrize(
    "name", ["a.png", "a#b.png", "a.png#xywh=1,2,3", "#xywh=1,2,3,4", "a#xywh=-1,0,2,2"]
)
def test_other_names_are_no_regions(name: str) -> None:
    assert split_region(name) == (name, None)


def test_a_region_is_cut_before_the_picture_is_turned(ugly_root: Path) -> None:
    """Boxes are annotated on stored pixels: the left half stored is the upper half shown."""
    path = ugly_root / "fine" / "turned right.jpg"
    part = read_rgb(Path(Region(0, 0, 32, 48).of(str(path))))
    assert part.size == (48, 32)
    colours = seen(part)
    assert np.abs(np.subtract(colours, (BLUE, RED, BLUE, RED))).max() <= 6


def test_an_upright_picture_is_not_copied() -> None:
    assert upright_rgb(PLAIN) is PLAIN
