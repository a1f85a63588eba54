"""Rows as they were read before, by what their files hold: parsing thousands again takes too long.

A Parquet file of one row has some 130 columns, and parsing them takes a hundred times as long as
reading the file's bytes. So what came out is kept under the hash of those bytes. Nothing here can
differ from the files: a file that changed has another hash and is parsed. Without this file, or
where it is damaged, the same rows are read more slowly.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import xxhash

from qpmstudy.files import write_bytes

Row = Mapping[str, Any]


def content_key(content: bytes) -> str:
    """Return the XXH3 hash of a file's bytes, as 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(content)


def seen_rows(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows that `keep_rows` wrote, by the key of their file; none if it is damaged."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError:  # not there, or not for us
        return {}
    if head.decode(errors="replace") != content_key(body):
        return {}
    content = json.loads(body)
    columns = content["columns"]
    return {
        key: dict(zip(columns[which], values, strict=True))
        for key, which, values in content["rows"]
    }


def keep_rows(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Write rows by the key of their file, if the file system lets us."""
    columns: dict[tuple[str, ...], int] = {}
    entries = [
        (key, columns.setdefault(tuple(row), len(columns)), tuple(row.values()))
        for key, row in rows.items()
    ]
    content = {"columns": list(columns), "rows": entries}
    body = json.dumps(content, separators=(",", ":")).encode()
    with suppress(OSError):  # full or read-only: the next reader parses again
        write_bytes(path, content_key(body).encode() + b"\n" + body)
