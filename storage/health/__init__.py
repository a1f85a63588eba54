"""What is wrong, or should be known, of results before they are believed: in words.

base.py     what a check gives
runs.py     failed, missing and few runs; selections that proved little
front.py    whether there is a front, and how sure it is
edges.py    the best lie where the space ends
models.py   against a linear probe; dead features; two losses that are one
"""

from storage.analysis import ParetoResult
from storage.health.base import Finding, Level
from storage.health.edges import edge_findings
from storage.health.front import (
    doubt_findings,
    held_out_findings,
    missing_front_findings,
    mixed_findings,
)
from storage.health.models import dead_findings, loss_findings, probe_findings
from storage.health.runs import run_findings, seed_findings, selection_findings
from storage.probe import Probe

__all__ = ["Finding", "Level", "findings"]


def findings(result: ParetoResult, probe: Probe | None) -> list[Finding]:
    """Return everything worth saying, problems first.

    Args:
        result: the results.
        probe: the linear probe to hold accuracy against; None: none was found.
    """
    found = [
        *(one for study in result.studies for one in run_findings(study)),
        *missing_front_findings(result),
        *dead_findings(result),
        *mixed_findings(result),
        *probe_findings(result, probe),
        *edge_findings(result),
        *doubt_findings(result),
        *seed_findings(result),
        *held_out_findings(result),
        *selection_findings(result),
        *(one for study in result.studies for one in loss_findings(study.spec)),
        *(Finding("note", f"the studies differ in {note}") for note in result.notes),
    ]
    order: dict[Level, int] = {"problem": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda finding: order[finding.level])
