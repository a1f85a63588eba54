"""Durations: what is one, how long it is, and how a length is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from storage.study.durations import PATTERN, Duration, seconds_of, words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("90m", 5400),
        ("1h30m", 5400),
        (" 1.5 H ", 5400),
        ("2 h 5s", 7205),
        ("1d", 86400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2", "h", "-1h", "0s", "2 hours", "1 5h", "1e3s", "9" * 400 + "h"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"takes a time such as 90m, 1h30m or 2.5h, above 0"):
        seconds_of(text)


@given(st.integers(1, 10**7))
def test_a_length_is_told_as_it_would_be_written(seconds: int) -> None:
    assert seconds_of(words(seconds)) == seconds
    assert words(seconds_of(words(seconds))) == words(seconds)


def test_lengths_in_words() -> None:
    told = [words(seconds) for seconds in (0.5, 45, 5400, 90061, 10800.0)]
    assert told == ["0.5s", "45s", "1h 30m", "1d 1h 1m 1s", "3h"]


def test_a_value_of_a_study_file_keeps_its_text() -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.validate_python("1h30m") == "1h30m"
    assert adapter.json_schema() == {"type": "string", "pattern": f"^{PATTERN}$"}
    with pytest.raises(ValueError, match="takes a time"):
        adapter.validate_python(7200)  # of what?
