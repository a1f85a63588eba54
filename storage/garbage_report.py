"""What was or would be removed, in words and as JSON."""

from collections.abc import Sequence
from typing import Any

from qpmstudy.stage_graph import STAGES
from storage.garbage import Findings, Rubbish
from storage.sizes import readable


def report_json(found: Findings, gone: Sequence[Rubbish], dry_run: bool) -> dict[str, Any]:
    """Return a report as JSON types; sizes in bytes."""
    return {
        "dry_run": dry_run,
        "removed": [{"path": str(r.path), "kind": r.kind, "bytes": r.bytes} for r in gone],
        "removed_bytes": sum(r.bytes for r in gone),
        "kept": found.kept,
        "kept_bytes": found.kept_bytes,
        "young": found.young,
    }


def report_lines(found: Findings, gone: Sequence[Rubbish], dry_run: bool) -> list[str]:
    """Return a line for each kind of rubbish, the total, and what stays."""
    lines = []
    for kind in (*STAGES, "overlay", "leftover"):
        mine = [one for one in gone if one.kind == kind]
        if mine:
            size = readable(sum(one.bytes for one in mine))
            lines.append(f"{kind:15} {len(mine):6}   {size:>10}")
    total = readable(sum(one.bytes for one in gone))
    if gone:
        lines.append(f"{'would be removed' if dry_run else 'removed'}: {len(gone)}, {total}")
    else:
        lines.append("nothing to remove")
    lines.append(f"kept: {found.kept} results, {readable(found.kept_bytes)}")
    if found.young:
        lines.append(
            f"  {found.young} of them nothing needs, but they are younger than the grace period "
            "(--grace)"
        )
    return lines
