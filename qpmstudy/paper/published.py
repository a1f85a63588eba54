"""The values printed in the tables of the DINO-QPM paper (arXiv 2604.07166)."""

import json
from dataclasses import dataclass
from pathlib import Path

from qpmstudy.errors import ConfigError
from qpmstudy.registry import did_you_mean

TABLES = (
    *("Table 1", "Table 2", "Table 3", "Table 4"),
    *("Figure 7", "Figure 8", "Figure 9", "Figure 11", "Figure 12", "Figure 13"),
)
"""What of the paper can be run as a study."""

_VALUES = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class PublishedValue:
    """One cell of a table of the paper."""

    table: str
    """Its number in the paper, such as "Table 1"."""
    row: str
    """The method, input or backbone of the row."""
    dataset: str
    metric: str
    """The metric's name in `qpmstudy.metrics`; `sid` is SID@5."""
    value: float
    """The printed value as a fraction, not percent; it was printed with three digits."""
    std: float | None
    """Its standard deviation over seeds as a fraction; None where none is printed."""
    source: str
    """Where it was read; begins with "secondary page" unless the authors published it there."""


def published(table: str) -> tuple[PublishedValue, ...]:
    """Return the values known of `table` ("Table 1"), row by row as printed.

    Cells that the paper leaves empty, and those that could not be read anywhere, are absent:
    of some tables and of all figures none is known.

    Raises:
        ConfigError: the paper has no such table or figure among those that studies repeat.
    """
    if table not in TABLES:
        raise ConfigError(
            f"No study repeats {table!r} of the paper: ask for one of {', '.join(TABLES)}."
            + did_you_mean(table, TABLES)
        )
    records = json.loads(_VALUES.read_text(encoding="utf-8"))
    values = [PublishedValue(**record) for record in records]
    return tuple(value for value in values if value.table == table)
