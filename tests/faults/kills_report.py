"""What kills did to a study of ours and to plain Ray Tune, as Markdown."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date

HEAD = """\
# Kills at random moments

    {command}

{day}, {cores} cores ({machine}), Python {python}. A study of 12 trials x 2 seeds on a local
cluster of three raylets gets SIGKILL at random moments; what died is started again, a study that
has ended is compared with one that nobody interrupted, and the next begins. Beside it drivers of
plain Ray Tune (24 runs of a function trainable of a second each, Tuner.restore after each kill) are
killed at random moments. The seed repeats victims and pauses, but not the machine's own timing.
"""


def markdown(
    command: str,
    kills: Mapping[str, int],
    seen: Mapping[str, int],
    plain_kills: int,
    plain: Mapping[str, int],
    problems: Sequence[str],
) -> str:
    """Return the report; counts of ours are those of `fuzz`, of plain Tune's those of `killed`."""
    lines = [
        HEAD.format(
            command=command,
            day=date.today().isoformat(),
            cores=os.cpu_count(),
            machine=platform.machine(),
            python=platform.python_version(),
        ),
        "| | qpmstudy | plain Ray Tune |",
        "|---|---|---|",
    ]
    again, results = "finished work done again", "results lost"
    for name, ours, theirs in (
        ("kills", sum(kills.values()), plain_kills),
        ("studies", seen["studies"], plain.get("studies", 0)),
        ("launches", seen["launches"], plain.get("launches", 0)),
        ("runs asked for", seen["rows"], plain.get("runs", 0)),
        (results, seen["rows lost"], plain.get("results missing", 0)),
        (again, seen.get("stages computed again", 0), plain.get("finished runs done again", 0)),
    ):
        lines.append(f"| {name} | {ours} | {theirs} |")
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(kills.items()))
    lines += [
        "",
        f"Ours were: {by_kind}. {seen['stages computed']} stages were computed and stored, "
        f"{seen.get('stages computed in vain', 0)} beside another of the same that was in flight "
        "when whoever had asked for it died (the first one stored stays); "
        f"{seen.get('rows committed again', 0)} rows were committed twice, with the same content. "
        f"{seen.get('trials not COMPLETE in the ledger', 0)} trials were left RUNNING in the "
        "ledger. Killing the raylet that a driver is connected to ends that driver, too.",
        "",
        f"Problems: {'; '.join(problems) if problems else 'none'}.",
        "",
    ]
    return "\n".join(lines)
