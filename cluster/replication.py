"""Where the next seed goes: to where it is least certain who belongs to the front.

The question is which configurations the front would have if each had run all of `seeds.max`. Rows
that are there are known; what is missing is drawn, many times over, from how the seeds that have
run differ. How often a configuration is on the front of such a draw is its probability.

A seed changes all configurations alike to some degree: it draws the validation images and the
dense model that many of them share. The draws have that correlation; without it, configurations
that always differ by the same would seem harder to tell apart than they are. What a metric cannot
be is not drawn: the mean of accuracies that are known and others of at most 1 has a bound.

Symbols in shapes: n configurations, s seeds (`seeds.max`), m objectives, d draws.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qpmstudy.columns import range_of
from qpmstudy.pareto.front import on_front_in_draws
from storage.results import Row
from storage.study import Seeds, StudySpec

DRAWS = 400
DOUBT = 0.05
"""On the front in fewer of the draws than this, or off it in fewer, is sure."""
PRIOR_SEEDS = 4.0
"""Seeds that the common variance of all configurations counts for in the variance of each."""
MAX_CORRELATION = 0.95

Table = Mapping[int, Mapping[int, Sequence[float] | None]]
"""Objectives by trial and seed; None while the seed runs."""


@dataclass(frozen=True)
class Replication:
    """Decides which replicates run beyond the first `seeds.min` of each trial.

    The same table gives the same answer, whatever order it is in: nothing is kept between calls.
    """

    seeds: Seeds
    maximise: tuple[bool, ...]  # one for each objective
    names: tuple[str, ...] = ()  # of the objectives; without them they can be any number

    def next(self, table: Table, count: int) -> list[tuple[int, int]]:
        """Return up to `count` pairs (trial, seed) to run; none when nothing is in doubt.

        The least certain trial comes first. The seed is its own, or that of the trial that most
        often dominates it, if that one has run fewer. What surely is dominated gets none. A trial
        with objectives that are not finite has failed: it gets none and dominates nothing. Trials
        that lack one of their first `seeds.min` seeds are not asked about.
        """
        known = self._known(table)
        if len(known) < 2 or not self.seeds.adaptive:
            return []
        draws = self._draws(table, known)
        share = dict(zip(known, _on_front(draws).mean(0), strict=True))
        alive = [trial for trial in known if share[trial] >= DOUBT]
        draws = draws[:, :, [known.index(trial) for trial in alive]]
        taken = {trial: set(table[trial]) for trial in alive}
        asked = {t: 1 + sum(runs is None for runs in table[t].values()) for t in alive}
        doubt = {t: share[t] * (1 - share[t]) for t in alive if share[t] <= 1 - DOUBT}
        chosen: list[tuple[int, int]] = []
        while doubt and len(chosen) < count:
            trial = max(doubt, key=lambda t: (doubt[t] / asked[t], -t))
            others = [alive[index] for index in _rivals(draws, alive.index(trial))]
            able = [t for t in (trial, *others) if len(taken[t]) < self.seeds.max]
            if not able:
                del doubt[trial]
                continue
            picked = min(able[:2], key=lambda t: len(taken[t]))
            seed = min(set(range(self.seeds.max)) - taken[picked])
            taken[picked].add(seed)
            asked[trial] += 1
            chosen.append((picked, seed))
        return chosen

    def probabilities(self, table: Table) -> dict[int, float]:
        """Return how probably each trial with its first seeds is on the front of `seeds.max`."""
        known = self._known(table)
        if not known:
            return {}
        return dict(zip(known, _on_front(self._draws(table, known)).mean(0).tolist(), strict=True))

    def over(self, table: Table) -> bool:
        """Return whether no trial with its first seeds is to have another."""
        return not self.next(table, 1)

    def _known(self, table: Table) -> list[int]:
        known = []
        for trial in sorted(table):
            values = [runs for runs in table[trial].values() if runs is not None]
            if len(values) >= self.seeds.min and np.isfinite(values).all():
                known.append(trial)
        return known

    def _draws(self, table: Table, known: Sequence[int]) -> np.ndarray:
        """Return what the means over all seeds may be (m, d, n), larger being better."""
        size = len(known), self.seeds.max, len(self.maximise)
        values = np.full(size, np.nan)
        for row, trial in enumerate(known):
            for seed, objectives in table[trial].items():
                if objectives is not None and seed < self.seeds.max:
                    values[row, seed] = objectives
        done = ~np.isnan(values[:, :, 0])  # (n, s)
        low, high = self._bounds(values, done)
        values = np.where(self.maximise, values, -values)
        runs = done.sum(1)  # (n)
        means = np.nanmean(values, axis=1)  # (n, m)
        residuals = np.where(done[:, :, None], values - means[:, None], 0)
        spread, shared = _spread(residuals, done)
        # The mean over all seeds less that of those done, as weights of the seeds' deviations.
        weights = 1 / self.seeds.max - done / runs[:, None]  # (n, s)
        own = np.sqrt((weights**2).sum(1))  # (n)
        random = np.random.default_rng(0)
        common = random.standard_normal((size[2], DRAWS, self.seeds.max)) @ weights.T
        alone = random.standard_normal((size[2], DRAWS, size[0])) * own
        rho = shared[:, None, None]
        deviation = np.sqrt(rho) * common + np.sqrt(1 - rho) * alone  # (m, d, n)
        drawn: np.ndarray = means.T[:, None] + spread.T[:, None] * deviation
        return drawn.clip(low.T[:, None], high.T[:, None])

    def _bounds(self, values: np.ndarray, done: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return between what the means over all seeds of values (n, s, m) lie (n, m), as drawn."""
        ranges = [
            range_of(name, values[:, :, column].flat) for column, name in enumerate(self.names)
        ] or [(-math.inf, math.inf)] * len(self.maximise)
        ends = np.where(self.maximise, 1, -1) * np.array(ranges).T  # (2, m)
        low, high = np.sort(ends, axis=0)
        sums = np.where(self.maximise, 1, -1) * np.nansum(values, axis=1)
        missing = self.seeds.max - done.sum(1)[:, None]  # (n, 1)
        with np.errstate(invalid="ignore"):  # no end of no missing seed
            open_low, open_high = (np.where(missing > 0, missing * end, 0) for end in (low, high))
        return (sums + open_low) / self.seeds.max, (sums + open_high) / self.seeds.max


def replication(spec: StudySpec) -> Replication:
    """Return what decides about the replicates of a study."""
    maximise = tuple(way == "max" for way in spec.objectives.values())
    return Replication(spec.seeds, maximise, tuple(spec.objectives))


def study_over(spec: StudySpec, rows: Sequence[Row]) -> bool:
    """Return whether a study with these rows has every run that it will get."""
    least = spec.configurations * spec.seeds.min
    return len(rows) >= least and replication(spec).over(table_of(rows, spec))


def table_of(rows: Iterable[Row], spec: StudySpec) -> dict[int, dict[int, tuple[float, ...]]]:
    """Return the objectives of committed rows by trial and seed; NaN where one has none."""
    table: dict[int, dict[int, tuple[float, ...]]] = {}
    for row in rows:
        failed = row["status"] != "COMPLETE"
        values = tuple(
            math.nan if failed or row[name] is None else float(row[name])
            for name in spec.objectives
        )
        table.setdefault(row["trial"], {})[row["seed"]] = values
    return table


def _spread(residuals: np.ndarray, done: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return standard deviations (n, m) over seeds, and their correlation (m) between trials.

    Args:
        residuals: (n, s, m) objectives less their mean over a trial's seeds; 0 where none has run.
        done: (n, s) which have run.
    """
    squares = (residuals**2).sum(1)  # (n, m)
    freedom = done.sum(1, keepdims=True) - 1
    pooled = squares.sum(0) / max(freedom.sum(), 1)
    variance = (squares + PRIOR_SEEDS * pooled) / (freedom + PRIOR_SEEDS)
    scaled = residuals / np.sqrt(np.where(variance > 0, variance, 1))[:, None]
    both = (scaled.sum(0) ** 2 - (scaled**2).sum(0)).sum(0)  # over pairs of trials and seeds
    others = (done.sum(0) - 1).clip(0)  # (s) trials with the seed, besides one
    pairs = (others[:, None] * (scaled**2).sum(0)).sum(0)
    shared = np.divide(both, pairs, out=np.zeros_like(pooled), where=pairs > 0)
    return np.sqrt(variance), shared.clip(0, MAX_CORRELATION)


def _on_front(draws: np.ndarray) -> np.ndarray:
    """Return (d, n) which points of each draw (m, d, n) no other point of it beats."""
    return on_front_in_draws(draws.transpose(1, 2, 0))


def _rivals(draws: np.ndarray, index: int) -> list[int]:
    """Return which points of draws (m, d, n) beat the one at `index`, the most frequent first.

    Those that do so in few draws are left out.
    """
    mine = draws[:, :, [index]]
    often = ((draws >= mine).all(0) & (draws > mine).any(0)).mean(0)  # (n)
    order = np.argsort(-often, kind="stable")
    return [int(other) for other in order if often[other] >= DOUBT / 2]
