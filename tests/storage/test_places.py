"""Places: folders and URLs, and what is said when they cannot be used."""

from pathlib import Path

import pytest

from qpmstudy.errors import ConfigError, NotInstalledError, StoreError
from storage.groups import open_group
from storage.inventory import listing
from storage.layout import StorageRoot
from storage.places import Remote, place, read_note, remove, size, stores_below, write_note


def test_paths_and_urls_become_places() -> None:
    assert place("runs/_embeddings") == Path("runs/_embeddings")
    assert place("file:///data/e/") == Path("/data/e")
    assert place("file:///data/my%20birds") == Path("/data/my birds")
    assert place("s3://bucket/a/") == Remote("s3://bucket/a")
    store = place("s3://bucket/a") / "birds" / "pixels@size=56"
    assert str(store) == "s3://bucket/a/birds/pixels@size=56"
    assert (store.name, store.parent.name) == ("pixels@size=56", "birds")
    assert StorageRoot(Path("runs"), place("s3://b/a")).embeddings("x", "y") == Remote(
        "s3://b/a/x/y"
    )


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("s3://", ConfigError, "names no folder: s3://BUCKET/FOLDER"),
        ("file://runs/e", ConfigError, "names no folder of this machine: file:///FOLDER"),
        ("file://", ConfigError, "names no folder of this machine"),
        ("file:///", ConfigError, "names no folder of this machine"),
        ("s4://bucket/a", ConfigError, r"Unknown kind of URL 's4://bucket/a' .*s3://BUCKET/FOLDER"),
        ("gs://bucket/a", NotInstalledError, "gs:// needs a package that is missing: .*gcsfs"),
    ],
)
def test_what_cannot_be_a_place_is_refused(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        place(text)


def test_a_password_in_a_url_is_shown_to_nobody() -> None:
    where = place("ftp://me:hush@127.0.0.1:9/a") / "birds"
    assert str(where) == "ftp://***@127.0.0.1:9/a/birds"
    assert "hush" not in repr(where)
    with pytest.raises(StoreError, match="cannot be reached: ConnectionRefusedError") as told:
        read_note(where)
    assert "hush" not in str(told.value)
    with pytest.raises(ConfigError, match="Unknown kind") as refused:
        place("s4://me:hush@host/a")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_notes_and_sizes_are_the_same_in_both(kind: str, bucket: str, tmp_path: Path) -> None:
    where = place(bucket if kind == "bucket" else str(tmp_path / "e"))
    assert read_note(where / "a" / "note") is None
    assert (stores_below(where), size(where)) == ([], 0)
    assert open_group(where / "a" / "b", "r") is None
    write_note(where / "a" / "note", "text")
    write_note(where / "a" / "b" / "zarr.json", "{}")
    write_note(where / "a" / "c" / "else.json", "{}")
    assert read_note(where / "a" / "note") == "text"
    assert (stores_below(where), size(where)) == ([("a", "b")], 8)
    for _ in range(2):
        remove(where / "a" / "b")
    assert (stores_below(where), size(where)) == ([], 6)


def test_a_bucket_that_is_not_there_is_named(s3: str) -> None:
    missing = place("s3://no-such-bucket/a")
    assert listing(StorageRoot(Path("runs"), missing))[0].startswith(
        "There are no embeddings in s3:"
    )
    with pytest.raises(
        StoreError, match=r"s3://no-such-bucket/a/note cannot be reached: .* bucket"
    ):
        write_note(missing / "note", "text")
