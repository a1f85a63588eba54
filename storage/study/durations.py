"""Durations as people write them: 90m, 1h30m, 2.5h."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
EXAMPLES = "such as 90m, 1h30m or 2.5h"
PATTERN = r"\s*(\d+(\.\d+)?\s*[smhdSMHD]\s*)+"
"""Of the whole text; it is in the JSON schema of study files, too."""
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def seconds_of(text: str) -> float:
    """Return how many seconds a duration is.

    Raises:
        ValueError: the text is none, or nothing or without end.
    """
    fits = re.fullmatch(PATTERN, text)
    total = sum(float(n) * UNITS[unit] for n, unit in _PART.findall(text.lower())) if fits else 0.0
    if not 0 < total < math.inf:
        raise ValueError(f"takes a time {EXAMPLES}, above 0")
    return total


def words(seconds: float) -> str:
    """Return "1h 30m" for 5400."""
    parts, left = [], seconds
    for unit in ("d", "h", "m"):
        count, left = divmod(left, UNITS[unit])
        parts += [f"{count:.0f}{unit}"] if count else []
    return " ".join([*parts, f"{left:g}s"] if left else parts)


def _checked(given: object) -> str:
    seconds_of(given if isinstance(given, str) else "")
    return str(given)


Duration = Annotated[
    str,
    BeforeValidator(_checked),
    WithJsonSchema({"type": "string", "pattern": f"^{PATTERN}$"}),
]
"""The text of a duration, as a value of a study file."""
