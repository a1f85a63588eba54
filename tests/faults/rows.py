"""What rows of a study say, without when and where it was found out."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

CIRCUMSTANCES = ("committed", "host", "versions", "seconds", "reused.", "command", "device.")
"""How columns begin that say when and where, not what."""


def facts(root: Path, name: str = "smoke") -> list[dict[str, Any]]:
    """Return the rows of a study by trial and seed, every column but circumstances."""
    rows = pq.read_table(root / name / "results").to_pylist()
    kept = [
        {name: value for name, value in row.items() if not name.startswith(CIRCUMSTANCES)}
        for row in rows
    ]
    return sorted(kept, key=lambda row: (row["trial"], row["seed"]))
