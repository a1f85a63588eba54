"""Commands that read all results of a study, from process start to end, beside an older checkout.

    python -m tests.benchmarks.reading.commands ROOT --against ../older

ROOT holds the study that `made_study` writes, with --stage-results. Each command is a process of
its own, first there, then here: the first time, when no row has been seen, and again.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from storage.ensure import ensure_store
from storage.layout import StorageRoot
from storage.spec_file import stored_spec
from tests.benchmarks.reading.made_study import NAME

HERE = Path(__file__).parents[3]
SECONDS = 900
COMMANDS = ("status", "pareto", "report", "table", "show", "plan", "launch", "gc")


def arguments(command: str, root: Path) -> list[str]:
    """Return what follows `cli.py` on a command line."""
    file = str(root / "study.yaml")
    subject = {"plan": [file], "launch": [file], "gc": ["--dry-run"]}.get(command, [NAME])
    return ["study", command, *subject, "--root", str(root)]


def cost(checkout: Path, command: str, root: Path) -> tuple[float, float]:
    """Return the seconds that a command takes in a checkout, and those of processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, str(checkout / "cli.py"), *arguments(command, root)],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.DEVNULL,
        timeout=SECONDS,
        check=True,
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--against", type=Path, required=True, help="an older checkout")
    parser.add_argument("--commands", nargs="+", default=COMMANDS, choices=COMMANDS)
    given = parser.parse_args()
    root, older = given.root.resolve(), given.against.resolve()
    folder = StorageRoot(root).study(NAME)
    shutil.copy(folder.spec, root / "study.yaml")  # JSON is YAML
    for names in stored_spec(folder).stores():
        ensure_store(StorageRoot(root), *names, lambda *_: None)
    print("Seconds, of processors in parentheses; ratios of the latter.\n")
    print("| study ... | before | first time | again | before / first | before / again |")
    print("|---|---|---|---|---|---|")
    for command in given.commands:
        before = cost(older, command, root)
        folder.path.joinpath("rows.cache").unlink(missing_ok=True)
        first, again = cost(HERE, command, root), cost(HERE, command, root)
        shown = " | ".join(f"{wall:.1f} ({cpu:.1f})" for wall, cpu in (before, first, again))
        ratios = f"{before[1] / first[1]:.1f} | {before[1] / again[1]:.1f}"
        print(f"| {command} | {shown} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
