import pytest

from storage.sizes import readable


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB")]
)
def test_sizes_are_readable(size: int, words: str) -> None:
    assert readable(size) == words
