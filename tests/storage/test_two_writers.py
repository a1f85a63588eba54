"""Two processes that write one store where nothing locks: never a wrong store that is complete."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from content import content, damage
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import StoreError
from storage import writer
from storage.embeddings import is_complete
from storage.extraction import extract
from storage.groups import open_group
from storage.places import Place, place, read_note
from storage.record import Digests, missing, note
from storage.shards import Work, fill_here

pytestmark = pytest.mark.usefixtures("small_shards")
Make = Callable[..., Any]


@pytest.fixture(params=[pytest.param("bucket", marks=pytest.mark.slow), "no locks"])
def where(request: pytest.FixtureRequest, bucket: str, tmp_path: Path,
          monkeypatch: pytest.MonkeyPatch) -> Place:  # fmt: skip
    """A store in a bucket, or on a file system that refuses to lock."""
    if request.param == "bucket":
        return place(bucket) / "s"

    def refused(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(writer.fcntl, "flock", refused)
    return tmp_path / "shared" / "s"


def interrupted_by(then: Callable[[], object]) -> Any:
    """Return a `fill` in which something happens after two shards."""

    def fill(work: Work, *told: Any) -> None:
        fill_here(replace(work, shards=work.shards[:2]), *told)
        then()
        fill_here(replace(work, shards=work.shards[2:]), *told)

    return fill


def test_the_later_writer_takes_over(
    where: Place, pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    extract(pictures, toy(), tmp_path / "whole")
    second = toy()
    fill = interrupted_by(lambda: extract(pictures, second, where))
    with pytest.raises(StoreError, match=r"Another process has begun to write .*/s .*: this one"):
        extract(pictures, toy(), where, fill=fill)
    assert second.embedded == 7  # of 11: two shards of two were there
    assert content(where) == content(tmp_path / "whole")
    extract(pictures, toy(), where)
    assert read_note(where.parent / ".s.writer") is None


def test_shards_of_another_machine_are_found_before_the_store_is_complete(
    where: Place, pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    """A shard that was on its way when its writer was replaced, with other bits."""
    extract(pictures, toy(), tmp_path / "whole")

    def late(work: Work, *told: Any) -> None:
        fill_here(work, *told)
        work.group["patches"][2:4] = np.float16(0.5)

    with pytest.raises(StoreError, match=r"not complete: shards \[1\] are not what was written"):
        extract(pictures, toy(), where, fill=late)
    assert not is_complete(where)
    again = toy()
    extract(pictures, again, where)
    assert again.embedded == 2
    assert content(where) == content(tmp_path / "whole")


def test_what_another_store_recorded_here_does_not_count(
    where: Place, pictures: ImageDataset, toy: Make
) -> None:
    def other(work: Work, *told: Any) -> None:
        mine = work.group.attrs["fingerprint"]
        work.group.attrs["fingerprint"] = "f" * 64
        note(work.group, 3, Digests("0" * 64, "0" * 64))
        work.group.attrs["fingerprint"] = mine
        assert 3 in missing(work.group)
        raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError, match="the power went out"):
        extract(pictures, toy(), where, fill=other)
    again = toy()
    extract(pictures, again, where)
    assert again.embedded == 11


def test_other_images_begin_anew_and_stop_who_was_there(
    where: Place, pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    splits = pictures.splits.copy()
    splits[0] = "test"
    changed = replace(pictures, splits=splits)
    extract(changed, toy(), tmp_path / "whole")
    fill = interrupted_by(lambda: extract(changed, toy(), where))
    with pytest.raises(StoreError, match="Another process has begun to write"):
        extract(pictures, toy(), where, fill=fill)
    # what the first one had on its way is the same as in the second, or it would be found
    assert content(where) == content(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["flip", "truncate", "empty", "remove"])
def test_shards_damaged_before_the_end_are_computed_again(
    kind: str, where: Place, pictures: ImageDataset, toy: Make, tmp_path: Path
) -> None:
    extract(pictures, toy(), tmp_path / "whole")

    def lossy(work: Work, *told: Any) -> None:
        fill_here(work, *told)
        for file in ("patches/c/0/0/0", "cls/c/1/0", "masks/c/4/0", "patches/c/5/0/0"):
            damage(where, file, kind)

    with pytest.raises(StoreError, match=r"not complete: shards \[0, 1, 4, 5\]"):
        extract(pictures, toy(), where, fill=lossy)
    group = open_group(where, "r")
    assert group is not None
    assert missing(group) == [0, 1, 4, 5]
    extract(pictures, toy(), where)
    assert content(where) == content(tmp_path / "whole")
