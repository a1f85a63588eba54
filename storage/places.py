"""Where embeddings lie: a folder of this file system, or one behind an fsspec URL.

A place is a `Path` or a `Remote`; both know `name`, `parent` and `/`, and all else that differs is
here. Behind a URL single objects are whole or absent, as renamed files are; nothing is renamed,
and nothing can be locked. What a backend needs (keys, end point) it finds where its own tools do:
AWS_ENDPOINT_URL, ~/.aws, FSSPEC_S3_*.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import zarr
from fsspec import get_filesystem_class
from fsspec.core import url_to_fs
from zarr.errors import NodeNotFoundError
from zarr.storage import FsspecStore, LocalStore

from qpmstudy.errors import ConfigError, NotInstalledError, QpmStudyError, StoreError
from qpmstudy.files import write_bytes
from qpmstudy.registry import how_to_install
from storage.provenance import without_secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)")
FRESH = {"use_listings_cache": False}
"""Other processes write, too: a listing is never taken from memory."""

SENSELESS = (NodeNotFoundError, KeyError, ValueError, RuntimeError)
"""What Zarr raises of a group that is not there, and of metadata, checksums or compressed data that
are damaged."""


@dataclass(frozen=True)
class Remote:
    """A folder behind an fsspec URL, such as s3://bucket/embeddings (no slash at its end)."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        """Return it for people, logs and results: without a password that stands in it."""
        return without_secrets(self.url)

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """Return the last part."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> "Remote":
        """Return the folder that this one lies in."""
        return Remote(self.url.rpartition("/")[0])

    def opened(self) -> "tuple[AbstractFileSystem, str]":
        """Return the file system, and the path in it."""
        system, path = url_to_fs(self.url, **FRESH)
        return system, path


Place: TypeAlias = Path | Remote


def place(text: str) -> Place:
    """Return the place that a person named by a path or URL.

    Raises:
        ConfigError: fsspec knows no such kind of URL, or it names no folder.
        NotInstalledError: the package of this kind is not installed.
    """
    url = URL.fullmatch(text)
    if url is None:
        return Path(text)
    kind, rest = url[1], url[2].rstrip("/")
    if kind == "file":
        if not rest.startswith("/"):
            raise ConfigError(
                f"The URL {text!r} names no folder of this machine: file:///FOLDER does, or the "
                "path by itself."
            )
        return Path(unquote(rest))
    if not rest:
        raise ConfigError(f"The URL {text!r} names no folder: {kind}://BUCKET/FOLDER does.")
    try:
        get_filesystem_class(kind)
    except ImportError as error:
        remedy = how_to_install("s3fs") if kind in ("s3", "s3a") else error
        raise NotInstalledError(f"{kind}:// needs a package that is missing: {remedy}") from error
    except ValueError as error:
        raise ConfigError(
            f"Unknown kind of URL {without_secrets(text)!r} ({error}). Embeddings lie in a folder, "
            "or behind a URL that fsspec knows, such as s3://BUCKET/FOLDER."
        ) from error
    return Remote(f"{kind}://{rest}")


@contextmanager
def reached(where: Place | zarr.Group) -> Iterator[None]:
    """Turn what the backend of a URL raises, each its own kind, into one error for people.

    Groups that are not there and content that makes no sense are left to the caller, and so is
    all that a local folder raises.

    Raises:
        StoreError: network, rights or keys do not allow what was tried.
    """
    try:
        yield
    except (QpmStudyError, *SENSELESS):
        raise
    except Exception as error:
        found = place_of(where) if isinstance(where, zarr.Group) else where
        if isinstance(found, Path):
            raise
        said = str(error).strip().splitlines() or [""]
        why = without_secrets(said[0])
        raise StoreError(
            f"{found} cannot be reached: {type(error).__name__}: {why}. Check that the "
            "bucket is there, the network, your keys and their rights, and run the same command "
            "again: what was finished is kept."
        ) from error


def place_of(group: zarr.Group) -> Place:
    """Return where a group lies."""
    store = group.store
    if isinstance(store, FsspecStore):
        return Remote(str(store.fs.unstrip_protocol(store.path)))
    assert isinstance(store, LocalStore)
    return store.root


def zarr_store(where: Place) -> Any:
    """Return what Zarr opens at a place."""
    return where if isinstance(where, Path) else FsspecStore.from_url(where.url, dict(FRESH))


def absolute(where: Place) -> Place:
    """Return the place as another process finds it."""
    return where.resolve() if isinstance(where, Path) else where


def remove(where: Place) -> None:
    """Remove the store at a place; one that is half removed counts as none."""
    if isinstance(where, Path):
        (where / "zarr.json").unlink(missing_ok=True)
        shutil.rmtree(where, ignore_errors=True)
        return
    with reached(where):
        system, path = where.opened()
        for found, recursive in ((f"{path}/zarr.json", False), (path, True)):
            if system.exists(found):
                system.rm(found, recursive=recursive)


def remove_partial(where: Place) -> None:
    """Remove what killed writers left half written; Zarr renames these files once they are whole.

    Behind a URL there is no such thing.
    """
    if isinstance(where, Path):
        for leftover in where.rglob("*.partial"):
            leftover.unlink(missing_ok=True)


def size(where: Place) -> int:
    """Return how many bytes lie below a place."""
    if isinstance(where, Path):
        return sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    with reached(where):
        system, path = where.opened()
        return int(system.du(path))


def stores_below(where: Place) -> list[tuple[str, str]]:
    """Return the last two names of every <dataset>/<backbone> with a Zarr group, sorted."""
    if isinstance(where, Path):
        groups = sorted(where.glob("*/*/zarr.json"))
        return [(group.parent.parent.name, group.parent.name) for group in groups]
    with reached(where):
        system, top = where.opened()
        found = [path for dataset in _folders(system, top) for path in _folders(system, dataset)]
        parts = [path.split("/") for path in found if system.exists(f"{path}/zarr.json")]
    return sorted((names[-2], names[-1]) for names in parts)


def _folders(system: "AbstractFileSystem", path: str) -> list[str]:
    try:
        entries = system.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return [entry["name"].rstrip("/") for entry in entries if entry["type"] == "directory"]


def read_note(where: Place) -> str | None:
    """Return the text of a small file; None if there is none."""
    if isinstance(where, Path):
        return where.read_text(encoding="utf-8") if where.exists() else None
    with reached(where):
        system, path = where.opened()
        try:
            return bytes(system.cat_file(path)).decode()
        except FileNotFoundError:
            return None


def write_note(where: Place, text: str) -> None:
    """Write a small file."""
    if isinstance(where, Path):
        write_bytes(where, text.encode())
        return
    with reached(where):
        system, path = where.opened()
        system.pipe_file(path, text.encode())


def remove_file(where: Place) -> None:
    """Remove a file or object, if it is there."""
    if isinstance(where, Path):
        where.unlink(missing_ok=True)
        return
    with reached(where), suppress(FileNotFoundError):
        system, path = where.opened()
        system.rm_file(path)
