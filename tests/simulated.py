"""A cluster on a virtual clock: carries out what the machine and the book decide, in no time."""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from cluster.demand import Demand
from cluster.rungs import Report
from cluster.stage_book import Decision, Failure, StageBook
from cluster.study_machine import Deal, Finish, Objectives, Start, Stop, StudyMachine

PIPELINE = ("dense", "select", "finetune", "evaluate")


@dataclass
class Simulation:
    """One driver, pools of slots, and stages that take the seconds they are said to.

    Attributes:
        machine: what is to be carried out.
        pools: slots by name of the resource.
        pool_of: the resource of each stage.
        key_of: (stage, trial, seed) -> what identifies the result; equal keys are shared.
        seconds_of: (stage, trial, seed) -> how long a computation of it takes.
        fails: (stage, trial, seed, attempt) -> why a computation ends without a result, or None.
        value_of: (trial, seed) -> objectives of a finished run.
        loses: (trial, seed, attempt) -> whether the coordinator of a run dies before its row.
    """

    machine: StudyMachine
    pools: Mapping[str, int]
    pool_of: Mapping[str, str]
    key_of: Callable[[str, int, int], str]
    seconds_of: Callable[[str, int, int], float] = lambda stage, trial, seed: 1.0
    fails: Callable[[str, int, int, int], Failure | None] = lambda *_: None
    value_of: Callable[[int, int], Objectives] = lambda trial, seed: (float(trial), float(seed))
    loses: Callable[[int, int, int], bool] = lambda *_: False
    stored: set[str] = field(default_factory=set)
    rungs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Of a stage, where in it a run passes which rung: 1.0 is its end."""
    report_of: Callable[[str, int, int], Report] = lambda *_: Report(0, 0, "", {})
    """(rung, trial, seed) -> what the run is worth there."""

    def __post_init__(self) -> None:
        self.now = 0.0
        self.book = StageBook()
        self.busy: Counter[str] = Counter()
        self.busy_seconds: Counter[str] = Counter()
        self.computed: Counter[str] = Counter()  # by key
        self.rows: dict[tuple[int, int], Objectives | None] = {}
        self.told: list[int] = []
        self.stopped: set[tuple[int, int]] = set()  # runs that ended early
        self.most_replicates = 0
        self._queue: dict[str, deque[tuple[str, int, int]]] = {p: deque() for p in self.pools}
        self._waiting: dict[str, list[tuple[str, int, int]]] = {}
        self._events: list[tuple[float, int, tuple[str, int, int]]] = []
        self._running: dict[str, int] = {}  # number of the event by which a computation ends
        self._passing: dict[int, str] = {}  # number of an event -> the rung that is passed then
        self._numbers = itertools.count()
        self._attempts: Counter[tuple[str, int, int]] = Counter()
        self._runs: Counter[tuple[int, int]] = Counter()
        self._trials: Iterator[int] = itertools.count()
        fits = {stage: self.pools[pool] for stage, pool in self.pool_of.items()}
        self.demand = Demand(fits, self.pool_of, PIPELINE[0])

    def run(self, stop_after: int | None = None) -> None:
        """Carry out commands until the study is over, or that many stages have ended."""
        ended = 0
        while True:
            over = self._start_all()
            if over or not self._events:
                return
            if stop_after is not None and ended >= stop_after:
                return
            when, number, this = heapq.heappop(self._events)
            key = self.key_of(*this)
            if number in self._passing:
                if self._passing[number].partition("/")[2] == str(self._running.get(key)):
                    self.now = when
                    self._pass(self._passing[number].partition("/")[0], key)
            elif self._running.get(key) == number:  # else it was stopped
                self.now = when
                ended += 1
                del self._running[key]
                self._stage_ended(this)

    def _start_all(self) -> bool:
        while True:
            room = self.demand.room(self.book.running, 0, self.machine.running)
            command = self.machine.next(self.now, room)
            self.most_replicates = max(self.most_replicates, self.machine.running)
            if isinstance(command, Finish):
                return True
            if isinstance(command, Deal):
                self.machine.dealt(next(self._trials))
            elif isinstance(command, Stop):
                for seed in command.seeds:
                    self._stop_run(command.trial, seed)
            elif isinstance(command, Start):
                for seed in command.seeds:
                    self._runs[command.trial, seed] += 1
                    self._ask(PIPELINE[0], command.trial, seed)
            else:
                return False

    def _ask(self, stage: str, trial: int, seed: int) -> None:
        key = self.key_of(stage, trial, seed)
        decision = self.book.request(stage, key, key in self.stored, (trial, seed))
        if decision is Decision.REUSE:
            for label in self.rungs.get(stage, {}):
                self._reach(label, trial, seed)
            if (trial, seed) not in self.stopped:
                self._next_stage(stage, trial, seed)
        elif decision is Decision.JOIN:
            self._waiting[key].append((stage, trial, seed))
        else:
            self._waiting[key] = [(stage, trial, seed)]
            self._queue[self.pool_of[stage]].append((stage, trial, seed))
            self._fill(self.pool_of[stage])

    def _fill(self, pool: str) -> None:
        while self._queue[pool] and self.busy[pool] < self.pools[pool]:
            this = self._queue[pool].popleft()
            self.busy[pool] += 1
            seconds = self.seconds_of(*this)
            self.busy_seconds[pool] += seconds
            number = self._running[self.key_of(*this)] = next(self._numbers)
            heapq.heappush(self._events, (self.now + seconds, number, this))
            for label, share in self.rungs.get(this[0], {}).items():
                if share < 1:
                    passing = next(self._numbers)
                    self._passing[passing] = f"{label}/{number}"
                    heapq.heappush(self._events, (self.now + share * seconds, passing, this))

    def _stage_ended(self, this: tuple[str, int, int]) -> None:
        stage, pool, key = this[0], self.pool_of[this[0]], self.key_of(*this)
        self.busy[pool] -= 1
        self._attempts[this] += 1
        why = self.fails(*this, self._attempts[this])
        if why and self.book.failed(key, why):
            self._queue[pool].append(this)
        elif why:
            for _, trial, seed in self._waiting.pop(key):
                self._row(trial, seed, None)
        else:
            self.computed[key] += 1
            self.book.finished(key)
            self.stored.add(key)
            waiting = self._waiting.pop(key)
            for asked, trial, seed in waiting:
                for label, share in self.rungs.get(asked, {}).items():
                    if share == 1:
                        self._reach(label, trial, seed)
            for asked, trial, seed in waiting:
                if (trial, seed) not in self.stopped:
                    self._next_stage(asked, trial, seed)
        self._fill(pool)
        assert stage in PIPELINE

    def _next_stage(self, stage: str, trial: int, seed: int) -> None:
        if stage == PIPELINE[-1]:
            if self.loses(trial, seed, self._runs[trial, seed]):
                self.machine.ended(trial, [seed])
            else:
                self._row(trial, seed, self.value_of(trial, seed))
        else:
            self._ask(PIPELINE[PIPELINE.index(stage) + 1], trial, seed)

    def _pass(self, label: str, key: str) -> None:
        for _, trial, seed in list(self._waiting[key]):
            self._reach(label, trial, seed)

    def _reach(self, label: str, trial: int, seed: int) -> None:
        verdict = self.machine.reached(self.report_of(label, trial, seed))
        if verdict and verdict.stop:
            mine = [run for run in self._runs if run[0] == trial and run not in self.rows]
            for run in mine:
                if run not in self.stopped:
                    self._stop_run(*run)

    def _stop_run(self, trial: int, seed: int) -> None:
        """Leave what the run waits for, and commit its row."""
        self.stopped.add((trial, seed))
        for key, waiting in list(self._waiting.items()):
            waiting[:] = [one for one in waiting if one[1:] != (trial, seed)]
            if self.book.left(key, (trial, seed)):
                del self._waiting[key]
                stage = key.partition("-")[0]
                queue = self._queue[self.pool_of[stage]]
                queued = [one for one in queue if self.key_of(*one) == key]
                for one in queued:
                    queue.remove(one)
                if self._running.pop(key, None) is not None:
                    self.busy[self.pool_of[stage]] -= 1
                    self._fill(self.pool_of[stage])
        if self.machine.row(trial, seed, None):
            self.told.append(trial)
        self.machine.ended(trial, [seed])

    def _row(self, trial: int, seed: int, objectives: Objectives | None) -> None:
        assert (trial, seed) not in self.rows, "a replicate has two rows"
        self.rows[trial, seed] = objectives
        if self.machine.row(trial, seed, objectives):
            self.told.append(trial)
        self.machine.ended(trial, [seed])
