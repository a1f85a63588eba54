"""Which images a person means: files, folders, and lists that another program writes."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from qpmstudy.datasets.pictures import SUFFIXES
from qpmstudy.errors import DataError

LISTED = "-"
"""Stands for the list, as in other programs."""


def named_images(names: Sequence[str], listed: Iterable[str]) -> Iterator[Path]:
    """Yield the image files that `names` mean, as late as possible: a list may be endless.

    Args:
        names: files; folders, of which all pictures are taken (by suffix, in sub-folders too, in
            the order of their paths; hidden ones are left out); and "-" for `listed`.
        listed: paths, one a line; empty lines are left out.

    Raises:
        DataError: a folder has no pictures. A file that is not there is yielded: whoever opens it
            says so, and the others are not lost for it.
    """
    for name in names:
        if name == LISTED:
            yield from (Path(line.rstrip("\r\n")) for line in listed if line.strip())
        elif _is_folder(name):
            yield from _pictures(Path(name))
        else:
            yield Path(name)


def is_single(names: Sequence[str]) -> bool:
    """Return whether `names` can mean no more than one image."""
    return len(names) == 1 and names[0] != LISTED and not _is_folder(names[0])


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # no path that the file system takes, or none that we may look at
        return False


def _pictures(folder: Path) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not found:
        raise DataError(
            f"The folder {folder} has no pictures (by their suffixes: "
            f"{', '.join(sorted(SUFFIXES))}), not in its sub-folders either."
        )
    return found
