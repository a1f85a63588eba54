"""Text files with one record a line, and the errors they give rise to."""

import math
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from qpmstudy.errors import DataError


def read_lines(root: Path, file: str, get: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line of `file` in `root` that is not blank.

    `get` is what an error tells the user to do about a missing or malformed file.

    Raises:
        DataError: the file is missing or is no text.
    """
    try:
        text = (root / file).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"The folder {root} has no {file}: {get}.") from error
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file} in {root} is not a text file ({error}): {get}.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def read_table(root: Path, file: str, get: str) -> dict[str, str]:
    """Return {first word, a number: rest of the line} of a file.

    Raises:
        DataError: the file is missing, no text or malformed, or a number comes twice.
    """
    table: dict[str, str] = {}
    for number, line in read_lines(root, file, get):
        key, _, value = line.partition(" ")
        if not (key.isascii() and key.isdigit()) or not value.strip():
            raise malformed(root, file, line, "not '<number> <value>'", get, number)
        if key in table:
            raise malformed(root, file, line, f"the second line for {key}", get, number)
        table[key] = value.strip()
    return table


def filled(table: dict[str, str], root: Path, file: str, get: str) -> dict[str, str]:
    """Return `table`, which was read from `file`.

    Raises:
        DataError: it is empty.
    """
    if not table:
        raise DataError(f"{file} in {root} is empty: {get}.")
    return table


def check_same_images(
    root: Path, file: str, listed: Collection[str], images: dict[str, str], get: str
) -> None:
    """Raise if the numbers `listed` by `file` are not exactly those of images.txt.

    Raises:
        DataError: an image is in only one of them.
    """
    different = sorted(set(listed) ^ images.keys(), key=int)
    if different:
        raise DataError(
            f"{file} in {root} has {len(listed)} images and images.txt {len(images)}; "
            f"{len(different)} are in only one of them, the first is image {different[0]}: {get}."
        )


def numbers(
    root: Path, file: str, line: str, text: str, count: int, get: str
) -> Float64[np.ndarray, " n"]:
    """Return the `count` finite numbers that `text`, in `line` of `file`, consists of.

    Raises:
        DataError: it does not.
    """
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise malformed(root, file, line, f"not {count} numbers behind the first", get)
    return np.array(values)


def malformed(
    root: Path, file: str, line: str, rule: str, get: str, number: int | None = None
) -> DataError:
    """Return the error for a line of `file` that breaks `rule`."""
    where = "" if number is None else f" {number}"
    return DataError(f"Line{where} {line!r} of {file} in {root} is wrong ({rule}): {get}.")
