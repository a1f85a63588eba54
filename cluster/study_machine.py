"""What a study does next: events in, commands out. No Ray, no clock, no disk.

The state is a table of replicates, the (trial, seed) pairs that have been dealt: wanted, running,
done or failed. Whoever carries commands out reports what happened and asks again:

    dealt, row, ended, reached, cancel  ->  StudyMachine.next(now, room)
                                        ->  Start, Stop, Deal, Wait, Finish

A replicate is done when its row is committed. Everything here can be rebuilt from the ledger and
the committed rows, which is what a launch does: nothing of it is saved.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cluster.rungs import Report, Rungs, Verdict

ATTEMPTS = 3
"""Coordinators that a trial may lose within one launch before it is left for the next."""

Objectives = tuple[float, ...]


@dataclass(frozen=True)
class Start:
    """Run these seeds of a trial."""

    trial: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Stop:
    """Commit that these seeds of a trial were stopped early; nothing runs for them."""

    trial: int
    seeds: tuple[int, ...]
    verdict: Verdict


@dataclass(frozen=True)
class Deal:
    """Propose another configuration, and report it by `dealt`."""


@dataclass(frozen=True)
class Wait:
    """Nothing can be started now; something that runs will end."""


@dataclass(frozen=True)
class Finish:
    """Nothing runs and nothing is left that may be started."""


Command = Start | Stop | Deal | Wait | Finish

NextSeeds = Callable[[Mapping[int, Mapping[int, Objectives | None]], int], list[tuple[int, int]]]
"""Of every trial that has not failed the objectives by seed (None: running), and how many to name
at most; returns which (trial, seed) to run beyond the first ones, none if no more are needed."""


@dataclass
class _Trial:
    seeds: dict[int, Objectives | None] = field(default_factory=dict)  # of those done; None: failed
    wanted: deque[int] = field(default_factory=deque)
    running: set[int] = field(default_factory=set)
    stopped: Verdict | None = None


class StudyMachine:
    """Decides which replicates run, in which order, how often, and when a study is over."""

    def __init__(
        self,
        seeds: int,
        undealt: int,
        next_seeds: NextSeeds | None = None,
        stop_dealing: Callable[[float], bool] = lambda now: False,
        rungs: Rungs | None = None,
    ) -> None:
        """`seeds` is how many replicates each trial has at first, `undealt` how many to deal.

        `next_seeds` decides about more replicates, once nothing else is left to start;
        `stop_dealing` whether a budget is spent at a time: then what runs ends, and no more;
        `rungs` which trials are stopped early, none without them.
        """
        self._first, self._undealt = seeds, undealt
        self.rungs = rungs
        self._next_seeds, self._stop = next_seeds, stop_dealing
        self._trials: dict[int, _Trial] = {}
        self._ready: deque[int] = deque()  # trials with wanted seeds
        self._losses: Counter[int] = Counter()
        self._running = 0
        self._cancelled = self._spent = False
        self.abandoned: set[int] = set()

    def known(
        self,
        trial: int,
        rows: Mapping[int, Objectives | None],
        stopped: Verdict | None = None,
    ) -> None:
        """Enter a trial of an earlier launch with the seeds that have a row (None: failed).

        Of one that was stopped the other seeds are not run.
        """
        missing = [seed for seed in range(self._first) if seed not in rows]
        self._trials[trial] = _Trial(dict(rows), deque(missing), stopped=stopped)
        if missing:
            self._ready.append(trial)

    def dealt(self, trial: int) -> None:
        """Enter the configuration that a `Deal` asked for."""
        self._undealt -= 1
        self.known(trial, {})

    def row(self, trial: int, seed: int, objectives: Objectives | None) -> bool:
        """Note a committed row; return whether it is the one that makes the trial whole.

        That is the last of its first seeds; the sampler is told then.
        """
        this = self._trials[trial]
        new = seed not in this.seeds
        this.seeds[seed] = objectives
        if seed in this.running:
            this.running.remove(seed)
            self._running -= 1
        return new and seed < self._first and all(n in this.seeds for n in range(self._first))

    def reached(self, report: Report) -> Verdict | None:
        """Enter what a seed is worth at a rung; return a verdict once there is one.

        Whoever runs the trial is then to be told if it stops; what it leaves without a row comes
        back as `Stop`. A trial whose first seeds all have their row costs nothing any more: it is
        not stopped, but others are compared with it.
        """
        assert self.rungs is not None
        this = self._trials[report.trial]
        unfinished = any(seed not in this.seeds for seed in range(self._first))
        verdict = self.rungs.reached(report, may_stop=unfinished)
        if verdict and verdict.stop and not this.stopped:
            this.stopped = verdict
        return verdict

    def stopped(self, trial: int) -> bool:
        """Return whether a trial was stopped early."""
        return self._trials[trial].stopped is not None

    def ended(self, trial: int, seeds: Iterable[int]) -> None:
        """Note that whatever ran these seeds is gone; those without a row are wanted again.

        A trial that loses too many is abandoned: the next launch goes on with it.
        """
        this = self._trials[trial]
        lost = sorted(this.running & set(seeds))
        if not lost:
            return
        self._running -= len(lost)
        this.running -= set(lost)
        self._losses[trial] += not this.stopped
        if self._losses[trial] >= ATTEMPTS:
            self.abandoned.add(trial)
            this.wanted.clear()
            return
        if not this.wanted:
            self._ready.append(trial)
        this.wanted.extend(lost)

    def cancel(self) -> None:
        """Start nothing any more."""
        self._cancelled = True

    def next(self, now: float, room: bool = True) -> Command:
        """Return what to do; `room` says whether the cluster has work for another trial's stages.

        `now` (seconds, of any clock) is what a budget is counted by.
        """
        self._spent = self._spent or self._stop(now)
        if self._cancelled or self._spent:
            return Wait() if self._running else Finish()
        return Wait() if self._running and not room else self._anything()

    @property
    def stopped_early(self) -> bool:
        """Return whether something was left undone because of a budget or a cancellation."""
        left = self._undealt or self._ready
        return bool(left) and (self._cancelled or self._spent)

    @property
    def running(self) -> int:
        """Return how many replicates run."""
        return self._running

    @property
    def undealt(self) -> int:
        """Return how many configurations are yet to be dealt."""
        return self._undealt

    def _anything(self) -> Command:
        while self._ready:
            trial = self._ready.popleft()
            if self._trials[trial].wanted:  # an abandoned one has none left
                return self._start(trial)
        if self._undealt:
            return Deal()
        if self._next_seeds:
            for trial, seed in self._next_seeds(self._table(), 1):
                self._trials[trial].wanted.append(seed)
                return self._start(trial)
        return Wait() if self._running else Finish()

    def _start(self, trial: int) -> Start | Stop:
        this = self._trials[trial]
        seeds = tuple(this.wanted)
        this.wanted.clear()
        this.running |= set(seeds)  # a stopped one until its rows are committed
        self._running += len(seeds)
        return Stop(trial, seeds, this.stopped) if this.stopped else Start(trial, seeds)

    def _table(self) -> dict[int, dict[int, Objectives | None]]:
        return {
            number: dict(trial.seeds) | dict.fromkeys(trial.running)
            for number, trial in self._trials.items()
            # one that failed is no rival of others, and gets no more
            if number not in self.abandoned and None not in trial.seeds.values()
        }
