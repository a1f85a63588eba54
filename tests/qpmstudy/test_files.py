"""Files that are whole or absent, and hashes that notice."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qpmstudy.errors import DataError
from qpmstudy.files import (
    check_hashes,
    read_json,
    sha256,
    whole_directory,
    write_bytes,
    write_json,
)

ROOT = Path(__file__).parents[2]


def test_bytes_replace_a_file_and_leave_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [("022", 0o644, 0o755), ("027", 0o640, 0o750)]
)
def test_others_may_read_what_the_umask_allows(
    tmp_path: Path, umask: str, file: int, folder: int
) -> None:
    """Temporary files are private; what they become is for everyone in a shared store."""
    program = (
        "import sys; from pathlib import Path; from qpmstudy.files import *\n"
        "root = Path(sys.argv[1]); write_bytes(root / 'file', b'')\n"
        "with whole_directory(root / 'folder'): pass\n"
    )
    command = f'umask {umask} && exec "$0" -c "$1" "$2"'
    subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, program, str(tmp_path)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == folder


def test_json_keeps_text_and_refuses_what_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"ä": [1, None, "é"]})
    assert read_json(path) == {"ä": [1, None, "é"]}
    assert "ä" in path.read_text(encoding="utf-8")
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, {"x": value})
    assert read_json(path) == {"ä": [1, None, "é"]}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{'a': 1}"])
def test_json_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=r"x.json is not valid JSON .*it is damaged"):
        read_json(tmp_path / "x.json")
    with pytest.raises(DataError, match=r"y.json is missing"):
        read_json(tmp_path / "y.json")


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with whole_directory(target) as folder:
        (folder / "x").write_text("1")
        assert not target.exists()
    assert (target / "x").read_text() == "1"
    assert list(target.parent.iterdir()) == [target]


def test_a_directory_of_a_failed_block_never_appears(tmp_path: Path) -> None:
    def stopped() -> None:
        with whole_directory(tmp_path / "a") as folder:
            (folder / "x").write_text("1")
            raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_writers_stays(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with whole_directory(target) as second:
        (second / "x").write_text("second")
        with whole_directory(target) as first:
            (first / "x").write_text("first")
    assert (target / "x").read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_target_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(OSError, match="a"), whole_directory(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "in the way"


def test_hashes_are_those_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert sha256(tmp_path / "x") == known
    check_hashes(tmp_path, {"x": known})
    with pytest.raises(DataError, match=r"x is damaged: its SHA-256 is ba7816bf8f01..., but 0000"):
        check_hashes(tmp_path, {"x": "0" * 64})
    with pytest.raises(DataError, match=r"y is missing"):
        check_hashes(tmp_path, {"x": known, "y": known})


def test_json_is_readable_by_a_person(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": {"c": 2}})
    text = (tmp_path / "x.json").read_text()
    assert text == json.dumps({"b": 1, "a": {"c": 2}}, indent=2) + "\n"
