"""Is it worth it to propose what is cheap because its dense model is stored? Hypervolume by time.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.search.cost_aware --seeds 20

The study machine and the stage book deal and compute on the virtual clock (tests/simulated.py) with
four GPUs, until a time in which as many configurations would be through that share nothing as
`--trials`. Each way to propose sees the same landscapes and seeds:

    plain      the sampler as it is in a study
    cheapest k the cheapest of k proposals, the sampler's first where they cost the same
    stored p   with probability p the proposal's dense model gives way to the nearest stored one

A proposal costs what its stages take that are neither stored nor being computed. Hypervolume is
that of the configurations that have a row, by their objectives without noise; 1 is that of 5,000
random ones.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where simulated.py lies

from cluster.samplers import SAMPLERS, distribution
from cluster.stage_book import Decision
from cluster.study_machine import Objectives, StudyMachine
from qpmstudy.pareto import hypervolume
from simulated import Simulation
from storage.study import StudySpec, parse_study
from tests.benchmarks.search.landscapes import NAMES, Chosen, Landscape, landscape

GPUS = 4
POOLS = {"dense": "GPU", "select": "CPU", "finetune": "GPU", "evaluate": "GPU"}
SHARES = (0.25, 0.5, 1.0)
"""Parts of the time at which hypervolume is looked at."""
WAYS = ("plain", "cheapest 2", "cheapest 4", "stored 0.5")
PLAIN = WAYS[0]


class CostAware(BaseSampler):
    """Draws a configuration several times over, or moves it to a stored dense model."""

    def __init__(
        self,
        draws: Sequence[BaseSampler],
        cost: Callable[[Chosen], float],
        moved: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        self._draws, self._cost, self._moved = draws, cost, moved

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Any:
        """Return what the sampler draws together."""
        return self._draws[0].infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Any
    ) -> dict[str, Any]:
        """Return the cheapest proposal; the first trials, drawn at random, stay as they are."""
        drawn = []
        for one in self._draws:
            values = one.sample_relative(study, trial, search_space)
            for name in sorted(search_space.keys() - values.keys()) if values else ():
                # what NSGA-II mutates it would draw alone, once this is decided
                kind = search_space[name]
                values[name] = one.sample_independent(study, trial, name, kind)
            drawn.append(values)
        return self._moved(min(drawn, key=self._cost))

    def sample_independent(self, study: Any, trial: Any, param_name: Any, distribution: Any) -> Any:
        """Return a value that is drawn alone."""
        return self._draws[0].sample_independent(study, trial, param_name, distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Pass on."""
        self._draws[0].before_trial(study, trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Pass on."""
        self._draws[0].after_trial(study, trial, state, values)


class Search(Simulation):
    """A study on the virtual clock whose configurations an Optuna sampler proposes."""

    def __init__(self, land: Landscape, spec: StudySpec, way: str, seed: int, time: float) -> None:
        self.land, self.spec, self.seed = land, spec, seed
        kind, _, number = way.partition(" ")
        self._count = int(number) if kind == "cheapest" else 1
        self._share = float(number) if kind == "stored" else 0.0
        self._random, self._noise = (np.random.default_rng([seed, n]) for n in (1, 2))
        self._distributions = {one.name: distribution(one) for one in spec.parameters}
        self.study = optuna.create_study(directions=["maximize", "maximize"])
        self.chosen: dict[int, Chosen] = {}
        self.seen: list[tuple[float, int]] = []  # when a configuration had its row
        super().__init__(
            StudyMachine(1, 100_000, stop_dealing=lambda now: now >= time),
            {"GPU": GPUS, "CPU": GPUS},
            POOLS,
            self._key,
            lambda stage, trial, _: land.seconds(stage, self.chosen[trial]),
            value_of=self._value,
        )
        self._trials = self._proposals()  # type: ignore[assignment]  # any iterator of numbers

    def _proposals(self) -> Iterator[int]:
        while True:
            number = len(self.chosen)
            seeds = [(self.seed * 10_000 + number) * 10 + n for n in range(self._count)]
            draws = [SAMPLERS.get(self.spec.sampler)(self.spec, seed) for seed in seeds]
            self.study.sampler = CostAware(draws, self._cost, self._moved)
            trial = self.study.ask(self._distributions)
            self.chosen[trial.number] = trial.params
            yield trial.number

    def _key(self, stage: str, trial: int, seed: int) -> str:
        chosen = self.chosen[trial]
        shared = stage in ("dense", "select")
        return f"{stage}-{self.land.dense_key(chosen) if shared else sorted(chosen.items())}"

    def _known(self, key: tuple[Any, ...] | None) -> bool:
        name = f"dense-{key}"
        return name in self.stored or name in self.book.in_flight

    def _cost(self, chosen: Chosen) -> float:
        """Return the seconds that are yet to be spent on a proposal, of what it shares."""
        if not self.land.dense_key(chosen) or self._known(self.land.dense_key(chosen)):
            return 0.0
        return sum(self.land.seconds(stage, chosen) for stage in ("dense", "select"))

    def _moved(self, drawn: dict[str, Any]) -> dict[str, Any]:
        land = self.land
        key = land.dense_key(drawn)
        if key is None or self._known(key) or self._random.random() >= self._share:
            return drawn
        levels = [land.levels(name) for name in land.dense]
        stored = [point for point in product(*levels) if self._known(point)]

        def steps(point: tuple[Any, ...]) -> int:
            both = zip(levels, point, key, strict=True)
            return sum(abs(of.index(there) - of.index(here)) for of, there, here in both)

        nearest = min(stored, key=steps, default=key)
        return drawn | dict(zip(land.dense, nearest, strict=True))

    def _value(self, trial: int, seed: int) -> Objectives:
        noise = self._noise.normal(0, self.land.noise, 2)
        return tuple(np.array(self.land.objectives(self.chosen[trial])) + noise)

    def _row(self, trial: int, seed: int, objectives: Objectives | None) -> None:
        super()._row(trial, seed, objectives)
        assert objectives is not None
        self.study.tell(trial, objectives)
        self.seen.append((self.now, trial))


def volume(land: Landscape, points: Sequence[Chosen]) -> float:
    """Return the hypervolume of configurations by what they are truly worth."""
    values = np.array([land.objectives(point) for point in points]).reshape(-1, 2)
    return hypervolume(values, land.reference, [True, True])


def random_points(land: Landscape, count: int) -> list[Chosen]:
    """Return configurations drawn at random."""
    draw = np.random.default_rng(0)

    def value(entry: Mapping[str, Any]) -> Any:
        if "values" in entry:
            return entry["values"][draw.integers(len(entry["values"]))]
        if entry.get("log"):
            return float(np.exp(draw.uniform(np.log(entry["low"]), np.log(entry["high"]))))
        return float(draw.uniform(entry["low"], entry["high"]))

    return [{name: value(entry) for name, entry in land.space.items()} for _ in range(count)]


def measured(name: str, sampler: str, seed: int, trials: int) -> dict[str, list[float]]:
    """Return of each way hypervolume at the shares of the time, configurations and dense models."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    land = landscape(name, seed)
    content = {"name": "search", "space": land.space, "sampler": sampler, "trials": trials}
    pipeline = {"pipeline": {"embeddings": {"dataset": "birds-smoke"}}}
    spec = parse_study(content | pipeline, "cost_aware")
    points = random_points(land, 5_000)
    on_gpus = ("dense", "finetune", "evaluate")
    cost = np.mean([sum(land.seconds(s, point) for s in on_gpus) for point in points[:200]])
    time, best = trials * float(cost) / GPUS, volume(land, points)
    found = {}
    for way in WAYS:
        search = Search(land, spec, way, seed, time)
        search.run()
        at = [
            volume(land, [search.chosen[n] for when, n in search.seen if when <= share * time])
            for share in SHARES
        ]
        dense = search.book.counts["dense", Decision.COMPUTE]
        found[way] = [*(one / best for one in at), len(search.seen), dense]
    return found


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean, by bootstrap."""
    draws = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def table(name: str, sampler: str, runs: Sequence[Mapping[str, list[float]]]) -> list[str]:
    """Return the lines of one landscape and sampler."""
    lines = []
    for way in WAYS:
        mine = np.array([run[way] for run in runs])
        gains = mine - np.array([run[PLAIN] for run in runs])
        cells = [f"{mean:.3f}" for mean in mine[:, : len(SHARES)].mean(0)]
        for column in range(len(SHARES) if way != PLAIN else 0):
            low, high = interval(gains[:, column])
            cells[column] += f" ({gains[:, column].mean():+.3f}, {low:+.3f} to {high:+.3f})"
        trials, dense = mine[:, -2:].mean(0)
        lines.append(
            f"| {name} | {sampler} | {way} | {' | '.join(cells)} | {trials:.0f} | {dense:.0f} |"
        )
    return lines


def main() -> None:
    """Run every way on every landscape, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--samplers", nargs="+", default=["tpe", "nsga2"])
    parser.add_argument("--landscapes", nargs="+", default=list(NAMES))
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    times = " | ".join(f"at {share:.0%} of the time" for share in SHARES)
    print(f"| landscape | sampler | proposals | {times} | configurations | dense models |")
    print("|" + "---|" * (5 + len(SHARES)))
    with ProcessPoolExecutor(given.processes) as pool:
        for name, sampler in product(given.landscapes, given.samplers):
            seeds = range(given.seeds)
            runs = [pool.submit(measured, name, sampler, seed, given.trials) for seed in seeds]
            print("\n".join(table(name, sampler, [run.result() for run in runs])), flush=True)


if __name__ == "__main__":
    main()
