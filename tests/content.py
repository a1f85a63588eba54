"""What a place holds, byte by byte."""

from pathlib import Path

from fsspec import url_to_fs

from storage.places import Place


def content(place: Place) -> dict[str, bytes]:
    """Return every file below a folder, or object behind a URL, by its name there."""
    if isinstance(place, Path):
        files = (file for file in place.rglob("*") if file.is_file())
        return {file.relative_to(place).as_posix(): file.read_bytes() for file in files}
    system, top = url_to_fs(str(place), use_listings_cache=False)
    return {path.removeprefix(f"{top}/"): system.cat_file(path) for path in system.find(top)}


def damage(place: Place, file: str, kind: str) -> None:
    """Flip a bit of a file, cut it in half, empty it, or remove it."""
    system, top = url_to_fs(str(place), use_listings_cache=False)
    path = f"{top}/{file}"
    whole = bytearray(system.cat_file(path))
    if kind == "remove":
        system.rm_file(path)
    elif kind == "flip":
        whole[len(whole) // 3] ^= 0x10
        system.pipe_file(path, bytes(whole))
    else:
        system.pipe_file(path, bytes(whole[: len(whole) // 2]) if kind == "truncate" else b"")
