"""One run on a page, in Markdown: what it was, what it is worth, how to repeat it."""

from collections.abc import Sequence

from cluster.printing import plain
from qpmstudy.columns import COMPACTNESS, PROOF, SPLIT_METRICS, shown
from qpmstudy.config import PipelineConfig, flatten
from storage.provenance import code_in_words
from storage.results import Row

DIGITS = 12
"""Of a hash, as shown."""


def trial_card(row: Row, varied: Sequence[str], splits: Sequence[str]) -> str:
    """Return the card of a run.

    Args:
        row: its row, complete, failed or stopped.
        varied: paths of the values that the study varies.
        splits: names of the held-out splits.
    """
    lines = [f"# {row['study']}, trial {row['trial']}, seed {row['seed']}", ""]
    if row["status"] != "COMPLETE":
        lines += [f"**{row['status']}**: {_cause(row)}", ""]
    lines += ["## Configuration", "", *_configuration(row, varied), ""]
    if row["status"] == "COMPLETE":
        lines += ["## Result", "", *_result(row, splits), ""]
        lines += ["## Certificate of the selection", "", _certificate(row), ""]
    return "\n".join([*lines, "## To repeat it", "", *_repeating(row), ""])


def _cause(row: Row) -> str:
    if row["status"] == "STOPPED":
        return f"{row['stopped_at']}: {row['stopped_because']}"
    return row.get("error") or "no cause is known"


def _configuration(row: Row, varied: Sequence[str]) -> list[str]:
    usual = flatten(PipelineConfig())
    changed = [path for path in usual if row[path] != usual[path] and path not in varied]
    return [
        *_table(("varied", "value"), [(path, plain(row[path])) for path in varied]),
        "",
        *_table(
            ("not as by default", "value", "default"),
            [(path, plain(row[path]), plain(usual[path])) for path in changed],
        ),
    ]


def _result(row: Row, splits: Sequence[str]) -> list[str]:
    """Return metrics of both phases; fractions in percent."""
    others = [f"{split}_" for split in splits if split not in ("validation", row["split"])]
    lines = []
    for name in SPLIT_METRICS:
        for prefix in dict.fromkeys(["", *others]):
            column = f"{prefix}{name}"
            values = [row.get(f"{phase}{column}") for phase in ("", "dense_")]
            if any(value is not None for value in values):
                split = prefix.rstrip("_") or str(row["split"])
                lines.append((name, split, *(shown(name, value) for value in values)))
    size = ", ".join(
        f"{name.replace('_', ' ')} {shown(name, row[name])}"
        for name in COMPACTNESS
        if row.get(name) is not None
    )
    return [*_table(("metric", "split", "final", "dense"), lines), "", size]


def _certificate(row: Row) -> str:
    if not row.get("qp_solver"):
        return "This method proves nothing about its answer, or selects nothing."
    known = [name for name in PROOF if row.get(f"qp_{name}") is not None]
    return ", ".join(f"{name} {plain(row[f'qp_{name}'])}" for name in known)


def _repeating(row: Row) -> list[str]:
    name, trial = row["study"], row["trial"]
    facts = {
        "command": f"`{row['command']}`" if row.get("command") else "",
        "code": code_in_words(row),
        "embeddings": str(row.get("fingerprint") or "")[:DIGITS],
        "weights": str(row.get("weights") or "")[:DIGITS],
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    return [
        *lines,
        f"- more of it: `python cli.py study show {name} {trial}`",
        f"- its model: `python cli.py study export {name} --pick {trial} --out models/`",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    return [_line(head), _line(["---"] * len(head)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
