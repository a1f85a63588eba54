"""Kills at random moments: what a study loses and does twice, beside plain Ray Tune.

    OMP_NUM_THREADS=1 python -m tests.faults.fuzz --kills 50 --seed 0

A study of 12 trials x 2 seeds runs on a local cluster of three raylets. Driver, a stage's worker,
a trial's coordinator, the stage ledger or a raylet gets SIGKILL at a random moment; a driver is
launched again, a raylet started again. A study that ends is checked and the next one begins, until
the kills are used up. Then drivers of plain Ray Tune are killed as often, and go on by
Tuner.restore.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.command import CLI
from tests.faults.after_kills import computed, lost, recount, stamps, zombies
from tests.faults.family import adopting, becomes, bury, command, family, working
from tests.faults.fuzzed_study import LINES, NAME, busy, prepared
from tests.faults.kills_report import markdown
from tests.faults.plain_tune import killed
from tests.faults.rows import facts
from tests.faults.three_raylets import IMPATIENT, ThreeRaylets, three_raylets

WATCHING = Path(__file__).with_name("watching")
WEIGHTS = {"driver": 6, "stage": 5, "coordinator": 4, "ledger": 3, "raylet": 3}
"""How often each kind of process is chosen, of 21 times."""
SHARE = {"driver": 1.0}
USUAL = 0.3
"""A kill is due within this share of an uninterrupted study's seconds, after a launch or the last
kill: of a driver later, since it takes half of a small study to import."""
STUDY_SECONDS = 900.0


@dataclass
class Tally:
    """What was seen in one study or several."""

    kills: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another one counted."""
        self.kills += other.kills
        self.seen += other.seen
        self.problems += other.problems


@dataclass
class Fuzzer:
    """One study, launched and killed until it ends.

    Attributes:
        cluster: where it runs.
        root: its storage root, with embeddings in it.
        study: its file.
        order: draws victims and moments.
        pace: seconds of the study where nobody interrupts it.
        kills: how many are left.
    """

    cluster: ThreeRaylets
    root: Path
    study: Path
    order: random.Random
    pace: float
    kills: int
    tally: Tally = field(default_factory=Tally)
    _driver: "subprocess.Popen[bytes] | None" = None
    _before: dict[Path, tuple[int, ...]] = field(default_factory=dict)

    def run(self) -> Tally:
        """Go on until the study has ended well; a problem is noted, not raised."""
        deadline = time.monotonic() + STUDY_SECONDS
        self._launch()
        while time.monotonic() < deadline:
            if self._ended():
                return self.tally
            if self.kills:
                self._kill_one()
            else:
                time.sleep(0.2)
        self.tally.problems.append(f"the study did not end in {STUDY_SECONDS:.0f} s")
        self._stop()
        return self.tally

    def _launch(self) -> None:
        self.tally.seen["launches"] += 1
        with self._said.open("wb") as file:
            self._driver = subprocess.Popen(
                [sys.executable, str(CLI), "study", "launch", str(self.study), "--root", self.root],
                env=os.environ | {"RAY_ADDRESS": self.cluster.address},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def _said(self) -> Path:
        return self.root.parent / f"launch-{self.tally.seen['launches']}.txt"

    def _ended(self) -> bool:
        """Return whether the study is over; a driver that ended otherwise is launched again."""
        assert self._driver is not None
        code = self._driver.poll()
        if code is None:
            return False
        said = self._said.read_text(encoding="utf-8", errors="replace")
        if "Traceback" in said:
            self.tally.problems.append(f"a launch showed a traceback: {said[-2000:]}")
        if code == 0:
            return True
        if code != -signal.SIGKILL:
            self.tally.seen[f"launches that ended by themselves with {code}"] += 1
            print(f"    the launch ended with {code}: ...{said[-300:].strip()}", flush=True)
            if self.tally.seen["launches"] > 200:
                self.tally.problems.append("200 launches did not end it")
                return True
        self.cluster.complete()
        self._launch()
        return False

    def _kill_one(self) -> None:
        kind = self.order.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        pause = self.order.uniform(0.0, SHARE.get(kind, USUAL) * self.pace)
        deadline = time.monotonic() + pause
        while time.monotonic() < deadline and self._runs():
            time.sleep(0.02)
        found: list[psutil.Process] = []
        while self._runs() and not found:  # a stage may not have begun yet
            found = self._victims(kind)
            time.sleep(0.01)
        if not found:
            return
        victim = self.order.choice(found)
        self._compare()
        self._before |= stamps(self.root)
        what = command(victim)[:40]
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            self.kills -= 1
            self.tally.kills[kind] += 1
            print(f"  {kind:12} {pause:5.1f} s  {len(self._before):3} stages stored  {what}")
        if kind == "raylet" and self.order.random() < 0.5:
            self.cluster.complete()  # else the cluster stays smaller until the next launch
        if kind == "driver" and self._driver is not None:
            self._driver.wait(timeout=30)
        sys.stdout.flush()
        bury({self._driver.pid} if self._driver else set())

    def _victims(self, kind: str) -> list[psutil.Process]:
        if kind == "driver":
            return [psutil.Process(self._driver.pid)] if self._driver else []
        if kind == "raylet":
            return self.cluster.raylets
        return [p for p in family() if command(p).startswith(LINES[kind])]

    def _runs(self) -> bool:
        return self._driver is not None and self._driver.poll() is None

    def _compare(self) -> None:
        """Note what was stored before an earlier kill and is no more what it was."""
        now = stamps(self.root)
        changed = [path for path, stamp in self._before.items() if now.get(path) != stamp]
        self.tally.problems += [f"{path} was stored and is another now" for path in changed]
        self._before = now

    def _stop(self) -> None:
        if self._driver is not None and self._runs():
            self._driver.kill()
            self._driver.wait(timeout=30)

    def check(self, expected: Sequence[Mapping[str, Any]], watch: Path) -> None:
        """Compare a study that has ended with one that nobody interrupted."""
        self._compare()
        problems = self.tally.problems
        found = facts(self.root, NAME)
        self.tally.seen["rows"] += len(expected)
        self.tally.seen["rows lost"] += lost(found, expected)
        if found != list(expected):
            problems.append(f"the rows differ: {recount(found, expected)}")
        again = computed(watch, self.root)
        self.tally.seen += again
        if again["stages computed again"]:
            problems.append(f"{again['stages computed again']} stored stages were computed again")
        left = zombies(self.root / NAME / "ledger.journal", NAME)
        self.tally.seen["trials not COMPLETE in the ledger"] += len(left)
        problems += [f"trial {number} is {state} in the ledger" for number, state in left]
        if not becomes(lambda: not busy(), 40):
            problems.append(f"left behind: {[command(p)[:60] for p in busy()]}")


def fuzz(kills: int, seed: int, folder: Path, trials: int = 12) -> Tally:
    """Kill until the kills are used up and the last study has ended.

    The caller's process adopts orphans, and its environment is that of the cluster.
    """
    total, order = Tally(), random.Random(seed)
    study, embedded = prepared(folder, trials)
    watch = folder / "watch.jsonl"
    os.environ |= {
        **IMPATIENT,
        "PYTHONPATH": f"{WATCHING}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "QPMSTUDY_WATCH": str(watch),
    }
    with three_raylets() as cluster:
        calm = Fuzzer(cluster, shutil.copytree(embedded, folder / "calm"), study, order, 0, 0)
        begun = time.monotonic()
        total.problems += calm.run().problems
        pace = time.monotonic() - begun
        print(f"uninterrupted: {pace:.0f} s", flush=True)
        expected = facts(calm.root, NAME)
        assert len(expected) == 2 * trials, f"{len(expected)} rows of the uninterrupted study"
        for number in range(kills):
            left = kills - total.kills.total()
            if not left:
                break
            root = shutil.copytree(embedded, folder / str(number) / "runs")
            print(f"study {number}, {left} kills left", flush=True)
            one = Fuzzer(cluster, root, study, order, pace, left)
            one.run()
            one.check(expected, watch)
            total.add(one.tally)
            total.seen["studies"] += 1
            for problem in one.tally.problems:
                print(f"  PROBLEM: {problem}", flush=True)
            cluster.complete()
    if not becomes(lambda: not any(map(working, family())), 40):
        total.problems.append(f"left behind: {[command(p)[:60] for p in family()]}")
    return total


def plain(kills: int, order: random.Random, folder: Path) -> tuple[int, Counter[str]]:
    """Do to plain Ray Tune what `fuzz` does to us; returns how many kills were used."""
    for name in ("QPMSTUDY_WATCH", "PYTHONPATH", *IMPATIENT):
        os.environ.pop(name, None)
    begun = time.monotonic()
    killed(folder / "plain" / "calm", order, 0, 0)
    pace = time.monotonic() - begun
    print(f"plain Tune, uninterrupted: {pace:.0f} s", flush=True)
    used, seen = 0, Counter[str]()
    while used < kills:
        new, found = killed(folder / "plain" / str(used), order, kills - used, pace)
        used += new
        seen += found + Counter(studies=1)
        print(f"plain Tune, {used} kills: {dict(seen)}", flush=True)
    return used, seen


def main() -> None:
    """Kill, print what was seen, and leave with 1 if anything was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--plain-kills", type=int, help="of plain Tune's drivers; as many unless given"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to leave everything in")
    parser.add_argument("--write", type=Path, help="file to write the report to, in Markdown")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with adopting(), tempfile.TemporaryDirectory() as disposable:
        folder = given.keep or Path(disposable)
        folder.mkdir(parents=True, exist_ok=True)
        found = fuzz(given.kills, given.seed, folder)
        summary = {"kills": dict(found.kills), **found.seen, "problems": found.problems}
        print(json.dumps(summary), flush=True)
        theirs_to_kill = given.kills if given.plain_kills is None else given.plain_kills
        used, theirs = plain(theirs_to_kill, random.Random(given.seed), folder)
    words = f"python -m tests.faults.fuzz {' '.join(sys.argv[1:])}"
    text = markdown(words, found.kills, found.seen, used, theirs, found.problems)
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    sys.exit(bool(found.problems))


if __name__ == "__main__":
    main()
