"""What is found after kills: rows, stage results, the ledger, and what was done twice."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

Rows = Sequence[Mapping[str, Any]]


def stamps(root: Path) -> dict[Path, tuple[int, ...]]:
    """Return inode, time and size of the manifest of every stored stage."""
    found = {}
    for path in root.glob("_artifacts/*/*/[!.]*/manifest.json"):
        stat = path.stat()
        found[path] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def lost(found: Rows, expected: Rows) -> int:
    """Return how many rows are missing or say something else."""
    by_key = {(row["trial"], row["seed"]): row for row in found}
    return sum(by_key.get((row["trial"], row["seed"])) != row for row in expected)


def recount(found: Rows, expected: Rows) -> str:
    """Return how two tables differ, in words."""
    if len(found) != len(expected):
        return f"{len(found)} rows instead of {len(expected)}"
    pairs = zip(found, expected, strict=True)
    cells = {
        f"trial {mine['trial']} seed {mine['seed']} {name}: {mine.get(name)!r}, not {value!r}"
        for mine, theirs in pairs
        for name, value in theirs.items()
        if mine.get(name) != value
    }
    return "; ".join(sorted(cells)[:5])


def computed(watch: Path, root: Path) -> Counter[str]:
    """Count what was made of one storage root, by what `watching` noted.

    A stage is computed again if its computation began after its result was stored; one that began
    before, as after the death of who had asked for the first, is in vain.
    """
    seen: Counter[str] = Counter()
    stored: dict[str, float] = {}
    for line in watch.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        target = record["target"]
        if not target.startswith(f"{root}/"):
            continue
        if record["kind"] == "row":
            seen["rows committed"] += 1
            seen["rows committed again"] += record["there"]
        else:
            seen["stages computed"] += 1
            if target in stored:
                again = record["start"] > stored[target]
                seen["stages computed again" if again else "stages computed in vain"] += 1
            stored.setdefault(target, record["end"])
    return seen


def zombies(journal: Path, name: str) -> list[tuple[int, str]]:
    """Return the trials of an Optuna study that are not COMPLETE, and what they are."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name=name, storage=storage)
    states = ((trial.number, trial.state.name) for trial in study.trials)
    return [(number, state) for number, state in states if state != "COMPLETE"]
