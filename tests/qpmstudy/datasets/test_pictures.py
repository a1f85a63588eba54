"""The ugliest folder of pictures: each is decoded right, or refused by its name."""

import re
import struct
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
from ugly_pictures import BLUE, BROKEN, PLAIN, RED, UGLY, exif_of, seen


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
    assert upright_rgb(picture) is picture  # nothing is turned or blended a second time


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", list(BROKEN))
def test_it_is_refused_by_its_name(name: str, ugly_root: Path) -> None:
    with pytest.raises(DataError, match=rf"image .*broken.{re.escape(name)} {BROKEN[name][1]}"):
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
    exif = exif_of(6)
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
        assert "damaged.jpg" in str(error)  # noqa: PT017  # either outcome is right
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


@pytest.mark.parametrize("name", ["x" * 300, "a\0b.png", "x/" * 3000])
def test_what_can_be_no_name_of_a_file_is_an_error_of_ours(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be decoded|does not exist"):
        read_rgb(Path(name))


def test_an_upright_picture_is_not_copied() -> None:
    assert upright_rgb(PLAIN) is PLAIN
