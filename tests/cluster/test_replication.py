"""Adaptive replication: seeds go where the front is in doubt, and nowhere else."""

import csv
import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.replication import Replication, replication, study_over, table_of
from made_rows import made_results, made_study
from qpmstudy.pareto import non_dominated
from storage.study import Seeds, parse_study

RECORDED = Path(__file__).parent / "recorded_runs.csv"
TEN = Seeds(min=2, max=10)
BOTH = (True, True)


def rule(seeds: Seeds = TEN, maximise: tuple[bool, ...] = BOTH) -> Replication:
    return Replication(seeds, maximise)


def recorded() -> np.ndarray:
    """Return accuracy and Plausibility of record_runs.py's table: (trials, seeds, 2)."""
    with RECORDED.open() as file:
        rows = list(csv.DictReader(file))
    runs = {(int(r["trial"]), int(r["seed"])): (r["accuracy"], r["plausibility"]) for r in rows}
    trials, seeds = (1 + max(key[axis] for key in runs) for axis in (0, 1))
    assert len(runs) == trials * seeds
    return np.array([[runs[t, s] for s in range(seeds)] for t in range(trials)], dtype=float)


def carry_out(values: np.ndarray, seeds: Seeds, slots: int) -> dict[int, dict[int, tuple[float]]]:
    """Run a study whose runs' outcomes are `values`, some slots at a time."""
    table = {t: {s: tuple(v[s]) for s in range(seeds.min)} for t, v in enumerate(values)}
    while chosen := rule(seeds).next(table, slots):
        for trial, seed in chosen:
            table[trial][seed] = tuple(values[trial, seed])
    return table


def front(values: np.ndarray) -> list[int]:
    return np.flatnonzero(non_dominated(values, BOTH)).tolist()


@pytest.mark.parametrize("slots", [1, 8])
def test_the_front_of_ten_fixed_seeds_is_found_with_at_most_60_percent_of_the_runs(
    slots: int,
) -> None:
    """On recorded runs of a real study, in 40 random orders of the seeds."""
    values, orders = recorded(), np.random.default_rng(0)
    assert values.shape == (18, 10, 2)
    same, shares = 0, []
    for _ in range(40):
        ordered = values[:, orders.permutation(10)]
        table = carry_out(ordered, TEN, slots)
        means = np.array([np.mean([*runs.values()], axis=0) for runs in table.values()])
        same += front(means) == front(values.mean(1))
        shares.append(sum(map(len, table.values())) / values[:, :, 0].size)
    print(f"same front in {same} of 40 orders, with {np.mean(shares):.0%} of the runs")
    assert same >= 38
    assert max(shares) <= 0.6


def test_what_is_surely_dominated_or_stands_alone_gets_no_more() -> None:
    good, bad, other = (0.9, 0.5), (0.1, 0.1), (0.5, 0.9)
    near = [(0.905, 0.49), (0.895, 0.51)]
    table = {
        0: {0: good, 1: (0.91, 0.51)},
        1: {0: bad, 1: (0.11, 0.11)},
        2: {0: other, 1: (0.51, 0.91)},
        3: dict(enumerate(near)),
    }
    asked = {trial for trial, _ in rule().next(table, 6)}
    assert asked == {0, 3}
    chances = rule().probabilities(table)
    assert chances[1] == 0
    assert chances[2] == 1
    del table[3]
    assert rule().over(table)


def test_the_one_known_less_well_of_two_gets_the_seed() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.05, (2, 10, 2))
    table = {0: {s: tuple(values[0, s]) for s in range(9)}, 1: {0: (0.5, 0.5), 1: (0.51, 0.51)}}
    assert rule().next(table, 3) == [(1, 2), (1, 3), (1, 4)]


def test_running_seeds_count_and_are_not_asked_for_again() -> None:
    table = {t: {0: (0.5, 0.6), 1: (0.6, 0.5)} for t in range(3)}
    first = rule().next(table, 4)
    assert len(set(first)) == 4
    assert len({trial for trial, _ in first}) == 3  # spread over equals
    running = {t: dict(runs) | {s: None for n, s in first if n == t} for t, runs in table.items()}
    assert not set(rule().next(running, 4)) & set(first)


def test_failed_trials_get_no_more_and_beat_nobody() -> None:
    pair = {0: (0.5, 0.6), 1: (0.6, 0.5)}
    table = {0: dict(pair), 1: dict(pair), 2: {0: (0.9, 0.9), 1: (math.nan, math.nan)}}
    assert {trial for trial, _ in rule().next(table, 9)} == {0, 1}
    assert 2 not in rule().probabilities(table)


def test_it_ends_at_the_upper_bound() -> None:
    values = np.full((3, 4, 2), 0.5) + np.random.default_rng(1).normal(0, 0.1, (3, 4, 2))
    table = carry_out(values, Seeds(min=2, max=4), 2)
    assert all(set(runs) <= {0, 1, 2, 3} for runs in table.values())
    full = {t: {s: tuple(values[t, s]) for s in range(4)} for t in range(3)}
    assert rule(Seeds(min=2, max=4)).over(full)
    exact = rule(Seeds(min=2, max=4)).probabilities(full)
    assert [t for t, p in exact.items() if p == 1] == front(values.mean(1))
    assert set(exact.values()) <= {0, 1}


def test_a_fixed_number_asks_for_nothing() -> None:
    table = {t: {0: (0.5, 0.6), 1: (0.6, 0.5)} for t in range(3)}
    assert rule(Seeds(min=2, max=2)).over(table)


def test_that_all_seeds_move_together_makes_two_easier_to_tell_apart() -> None:
    """Both always differ by 0.03, while the seeds differ by 0.1."""
    shared = np.random.default_rng(2).normal(0.5, 0.1, 5)
    alone = np.random.default_rng(3).normal(0.5, 0.1, 5)

    def doubt(other: np.ndarray) -> float:
        table = {
            0: {s: (float(v), float(v)) for s, v in enumerate(shared)},
            1: {s: (float(v), float(v)) for s, v in enumerate(other)},
        }
        return 0.5 - abs(0.5 - rule().probabilities(table)[0])

    assert doubt(shared + 0.03) < 0.05 < doubt(alone - alone.mean() + shared.mean() + 0.03)


@pytest.mark.parametrize("way", [True, False])
def test_what_could_only_win_beyond_the_range_is_surely_behind(way: bool) -> None:
    """One was right in all ten seeds; the other not in one of two, and is worse in all else."""
    best = {seed: (1.0, 0.9 + seed / 1000) for seed in range(10)}
    table = {0: best, 1: {0: (1.0, 0.6), 1: (0.9, 0.61)}}
    if not way:
        table = {t: {s: (1 - a, 1 - b) for s, (a, b) in r.items()} for t, r in table.items()}
    ways = (way, way)
    assert Replication(TEN, ways).probabilities(table)[1] > 0
    held = Replication(TEN, ways, ("accuracy", "sid"))
    assert held.probabilities(table) == {0: 1.0, 1: 0.0}


VECTORS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.1, 0.2, 0.5])] * 3), min_size=2, max_size=4)


@settings(max_examples=10)
@given(st.dictionaries(st.integers(0, 9), VECTORS, max_size=6), st.integers(1, 9), st.randoms())
def test_the_answer_depends_on_the_table_alone(
    rows: dict[int, list[tuple[float, ...]]], count: int, random: Random
) -> None:
    table = {trial: dict(enumerate(values)) for trial, values in rows.items()}
    order = list(table)
    random.shuffle(order)
    three = rule(Seeds(min=2, max=5), (True, False, True))
    chosen = three.next(table, count)
    assert three.next({trial: table[trial] for trial in order}, count) == chosen
    assert len(set(chosen)) == len(chosen) <= count
    assert all(trial in table and seed not in table[trial] for trial, seed in chosen)
    flipped = {t: {s: (a, -b, c) for s, (a, b, c) in runs.items()} for t, runs in table.items()}
    assert rule(Seeds(min=2, max=5), (True, True, True)).next(flipped, count) == chosen


@settings(max_examples=10)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0])] * 2), min_size=1, max_size=8))
def test_known_points_have_the_front_they_have(points: list[tuple[float, ...]]) -> None:
    table = {t: {0: p, 1: p} for t, p in enumerate(points)}
    for extra in (0, 1):  # two objectives, and the same as three
        wide = {t: {s: (*p, *[p[0]] * extra) for s, p in r.items()} for t, r in table.items()}
        chances = rule(TEN, (True,) * (2 + extra)).probabilities(wide)
        assert [t for t, p in chances.items() if p == 1] == front(np.array(points))


def test_rows_become_a_table() -> None:
    spec = parse_study(
        {
            "name": "a",
            "space": {"finetune.l1_fm": {"values": [0, 1]}},
            "seeds": {"min": 2, "max": 4},
            "objectives": {"accuracy": "max", "sid": "min"},
        },
        "x",
    )
    rows = [
        {"trial": 0, "seed": 1, "status": "COMPLETE", "accuracy": 0.5, "sid": 0.25},
        {"trial": 0, "seed": 0, "status": "FAIL", "accuracy": None, "sid": None},
        {"trial": 2, "seed": 0, "status": "COMPLETE", "accuracy": 0.5, "sid": None},
    ]
    table = table_of(rows, spec)
    assert table[0][1] == (0.5, 0.25)
    assert math.isnan(table[0][0][0])
    assert math.isnan(table[2][0][1])
    assert replication(spec) == Replication(Seeds(min=2, max=4), (True, False), ("accuracy", "sid"))


def test_a_study_is_over_once_no_seed_is_wanted_not_once_each_has_most() -> None:
    spec = made_study(seeds={"min": 2, "max": 10}, objectives={"accuracy": "max"})
    figures = {trial: {"accuracy": [trial / 10, trial / 10 + 0.001]} for trial in range(4)}
    rows = made_results(spec, figures).rows
    assert study_over(spec, rows)
    assert not study_over(spec, rows[:-1])
    close = figures | {2: {"accuracy": [0.3, 0.301]}}
    assert not study_over(spec, made_results(spec, close).rows)
