"""What became of the runs: failed, missing, few, or resting on a poor selection."""

from collections import Counter
from collections.abc import Iterator

from storage.analysis import ParetoResult, StudyResults
from storage.health.base import FEW_SEEDS, Finding, counted

CAUSES = 3
"""Causes of failures that are told."""


def run_findings(study: StudyResults) -> Iterator[Finding]:
    """Yield what became of a study's runs that are not complete."""
    spec, rows = study.spec, study.rows
    failed = [row for row in rows if row["status"] == "FAIL"]
    if failed:
        causes = Counter(str(row["error"] or "no cause").splitlines()[0] for row in failed)
        told = "; ".join(
            f"{cause.rstrip('.')} ({count}x)" if count > 1 else cause.rstrip(".")
            for cause, count in causes.most_common(CAUSES)
        )
        more = f"; and {counted(len(causes) - CAUSES, 'other cause')}" * (len(causes) > CAUSES)
        yield Finding(
            "problem",
            f"{len(failed)} of {counted(len(rows), 'run')} of {spec.name} failed: {told}{more}",
        )
    others = Counter(row["status"] for row in rows if row["status"] not in ("COMPLETE", "FAIL"))
    for status, count in others.items():
        yield Finding(
            "note",
            f"{count} of {counted(len(rows), 'run')} of {spec.name} ended early, as "
            f"{status.lower()}: {'it does' if count == 1 else 'they do'} not count as complete",
        )
    expected = spec.configurations * spec.seeds.min
    if len(rows) < expected:
        yield Finding(
            "warning",
            f"{spec.name} has {len(rows)} of {expected} runs: launch it again for the rest",
        )


def seed_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield whether there are too few seeds to know the spread."""
    counts = [len(member.complete) for member in result.members if member.eligible]
    if counts and min(counts) == 1:
        yield Finding(
            "warning",
            "a configuration with one seed has no spread: differences may be chance, and "
            "probabilities are no more than yes and no",
        )
    elif counts and min(counts) < FEW_SEEDS:
        yield Finding("warning", f"{min(counts)} seeds are few: probabilities are rough")


def selection_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield what selections could not prove, and where another solver took over."""
    rows = [row for member in result.members for row in member.complete]
    loose = [row for row in rows if (row.get("qp_gap") or 0) > row["select.gap"] * (1 + 1e-9)]
    if loose:
        largest = max(row["qp_gap"] for row in loose)
        yield Finding(
            "note",
            f"{len(loose)} of {counted(len(rows), 'run')} rest{'s' * (len(loose) == 1)} on a "
            f"selection that ended with a larger gap than asked for (up to {largest:.2%}): "
            "select.time_limit was too short to prove more",
        )
    fallen = [row for row in rows if row.get("qp_fallback")]
    if fallen:
        yield Finding(
            "warning",
            f"in {len(fallen)} of {counted(len(rows), 'run')} the open solver took over: "
            f"{str(fallen[0]['qp_fallback']).splitlines()[0]}",
        )
