"""How tables and values look on a terminal."""

from rich import box
from rich.table import Table


def plain_table(title: str | None = None) -> Table:
    """Return a table without columns, and without a frame."""
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def figures_table(title: str, caption: str) -> Table:
    """Return a plain table for many columns of figures: they stand close, a note below them."""
    table = plain_table(title)
    table.caption, table.caption_justify, table.padding = caption, "left", (0, 0, 0, 1)
    return table


def plain(value: object) -> str:
    """Return a value of a configuration as people write it; "-" where there is none."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
