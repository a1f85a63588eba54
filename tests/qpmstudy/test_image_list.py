"""Files, folders and lists become images in a known order, and no later than needed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qpmstudy.errors import DataError
from qpmstudy.image_list import is_single, named_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a/2.JPG", "a/1.webp", ".hidden/x.png", "a/.y.png", "notes.txt"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "pictures" / "folder.png").mkdir()
    return tmp_path / "pictures"


def test_a_folder_is_its_pictures_by_path(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in named_images([str(folder)], [])]
    assert found == ["a/1.webp", "a/2.JPG", "b.png"]


def test_names_keep_their_order_and_files_need_no_suffix(folder: Path) -> None:
    text = folder / "notes.txt"
    found = list(named_images([str(text), str(folder / "a"), "nowhere.png"], []))
    assert found == [text, folder / "a/1.webp", folder / "a/2.JPG", Path("nowhere.png")]


def test_a_list_is_read_line_by_line() -> None:
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in ("with space.png\n", "\n", "b.png\r\n", "c.png"):
            read.append(line)
            yield line

    images = named_images(["-", "d.png"], lines())
    assert next(images) == Path("with space.png")
    assert len(read) == 1
    assert list(images) == [Path("b.png"), Path("c.png"), Path("d.png")]


def test_a_folder_without_pictures_is_refused(folder: Path) -> None:
    (folder / "a" / ".hidden" / "sub").mkdir(parents=True)
    with pytest.raises(DataError, match=r"\.hidden has no pictures .*\.png.*sub-folders either"):
        list(named_images([str(folder / "a" / ".hidden")], []))


def test_what_can_be_no_name_of_a_file_is_left_to_who_opens_it() -> None:
    sentence = "no name at all, " * 400
    assert list(named_images([sentence], [])) == [Path(sentence)]
    assert is_single([sentence])


def test_what_can_be_one_image_only(folder: Path) -> None:
    assert is_single(["x.png"])
    assert not is_single(["-"])
    assert not is_single([str(folder)])
    assert not is_single(["x.png", "y.png"])
