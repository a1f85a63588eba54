"""What a study does next, on a virtual clock: properties over random studies and failures."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.stage_book import ATTEMPTS, Failure
from cluster.study_machine import Deal, Finish, Start, StudyMachine, Wait
from simulated import PIPELINE, Simulation

ONE_POOL = dict.fromkeys(PIPELINE, "CPU")
TWO_POOLS = ONE_POOL | {"dense": "GPU", "finetune": "GPU", "evaluate": "GPU"}


def shared_front(stage: str, trial: int, seed: int) -> str:
    """Every trial shares dense and select of its seed, as in a study over finetune.l1_fm."""
    return f"{stage}-{seed}" if stage in ("dense", "select") else f"{stage}-{trial}-{seed}"


def apart(stage: str, trial: int, seed: int) -> str:
    return f"{stage}-{trial}-{seed}"


def simulated(
    trials: int, seeds: int, cpus: int = 2, **how: Any
) -> tuple[StudyMachine, Simulation]:
    machine = StudyMachine(seeds, trials)
    return machine, Simulation(machine, {"CPU": cpus}, ONE_POOL, shared_front, **how)


@given(st.integers(0, 12), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_every_replicate_has_one_row_and_every_result_one_computation(
    trials: int, seeds: int, cpus: int, seed: int
) -> None:
    draw = random.Random(seed)
    _, run = simulated(trials, seeds, cpus, seconds_of=lambda *_: draw.choice([1.0, 2.0, 7.0]))
    run.run()
    assert set(run.rows) == {(t, s) for t in range(trials) for s in range(seeds)}
    assert set(run.computed.values()) <= {1}
    assert sorted(run.told) == list(range(trials))
    stages = Counter(key.partition("-")[0] for key in run.computed)
    assert stages["dense"] == (seeds if trials else 0)
    assert stages["finetune"] == trials * seeds


@given(st.integers(1, 8), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_lost_workers_and_coordinators_cost_nothing_but_time(
    trials: int, seeds: int, seed: int
) -> None:
    draw = random.Random(seed)
    losses = {n: draw.random() < 0.5 for n in range(1000)}

    def fails(stage: str, trial: int, seed: int, attempt: int) -> Failure | None:
        again = attempt < min(ATTEMPTS[Failure.LOST], ATTEMPTS[Failure.MEMORY])
        why = draw.choice([Failure.LOST, Failure.MEMORY])
        return why if again and losses[hash((stage, trial, seed)) % 1000] else None

    machine, run = simulated(
        trials, seeds, fails=fails, loses=lambda t, s, attempt: attempt < 2 and losses[t * 7 + s]
    )
    run.run()
    whole = {t for t in range(trials) if t not in machine.abandoned}
    assert {(t, s) for t in whole for s in range(seeds)} <= set(run.rows)
    assert all(values is not None for values in run.rows.values())
    assert set(run.computed.values()) <= {1}


def test_an_error_is_not_repeated_and_the_study_goes_on() -> None:
    machine, run = simulated(
        3, 2, fails=lambda stage, t, s, n: Failure.ERROR if (stage, t) == ("finetune", 1) else None
    )
    run.run()
    assert run.rows[1, 0] is None
    assert run.rows[1, 1] is None
    assert sum(values is None for values in run.rows.values()) == 2
    assert run.book.failures["finetune"] == 2
    assert run.book.retries["finetune"] == 0
    assert machine.next(0) == Finish()


@given(st.integers(1, 8), st.integers(1, 3), st.integers(0, 60))
def test_a_study_cut_off_at_any_moment_goes_on_from_its_rows(
    trials: int, seeds: int, moment: int
) -> None:
    _, first = simulated(trials, seeds)
    first.run(stop_after=moment)
    dealt = {trial for trial, _ in first._runs}
    machine = StudyMachine(seeds, trials - len(dealt))
    for trial in sorted(dealt):
        rows = {s: values for (t, s), values in first.rows.items() if t == trial}
        machine.known(trial, rows)
    stored = set(first.stored)
    second = Simulation(machine, {"CPU": 2}, ONE_POOL, shared_front, stored=stored)
    second._trials = iter(range(len(dealt), trials))
    second.run()
    assert not set(first.rows) & set(second.rows)
    both = first.rows | second.rows
    assert set(both) == {(t, s) for t in range(trials) for s in range(seeds)}
    assert not set(first.computed) & set(second.computed)
    assert sorted([*first.told, *second.told]) == list(range(trials))


def test_a_budget_ends_what_runs_and_starts_no_more() -> None:
    machine = StudyMachine(1, 100, stop_dealing=lambda now: now >= 10)
    run = Simulation(machine, {"CPU": 2}, ONE_POOL, apart)
    run.run()
    assert 0 < len(run.rows) < 100
    assert machine.running == 0
    assert machine.stopped_early
    assert run.now < 10 + 4 * len(PIPELINE)


def test_a_cancelled_study_waits_for_what_runs_and_starts_no_more() -> None:
    machine = StudyMachine(2, 3)
    assert machine.next(0) == Deal()
    machine.dealt(0)
    assert machine.next(0) == Start(0, (0, 1))
    machine.cancel()
    assert machine.next(0) == Wait()
    machine.row(0, 0, (1.0,))
    machine.ended(0, [0, 1])
    assert machine.next(0) == Finish()
    assert machine.stopped_early


def test_a_trial_whose_coordinators_keep_dying_is_left_for_the_next_launch() -> None:
    machine = StudyMachine(1, 1)
    assert machine.next(0) == Deal()
    machine.dealt(0)
    for _ in range(3):
        assert machine.next(0) == Start(0, (0,))
        machine.ended(0, [0])
    assert machine.abandoned == {0}
    assert machine.next(0) == Finish()


def test_without_room_nothing_starts_unless_nothing_runs() -> None:
    machine = StudyMachine(1, 2)
    assert machine.next(0, room=False) == Deal()
    machine.dealt(0)
    assert machine.next(0, room=False) == Start(0, (0,))
    assert machine.next(0, room=False) == Wait()
    assert machine.next(0, room=True) == Deal()


def test_more_seeds_go_where_they_are_asked_for_and_only_then() -> None:
    """A policy of our own: the trial with the best first objective has four seeds."""

    def best_has_four(table: object, most: int) -> list[tuple[int, int]]:
        assert isinstance(table, dict)
        done = {t: [v for v in seeds.values() if v] for t, seeds in table.items()}
        if any(len(values) < 2 for values in done.values()):
            return []
        best = max(done, key=lambda t: sum(v[0] for v in done[t]) / max(1, len(done[t])))
        return [(best, len(table[best]))] if len(table[best]) < 4 else []

    machine = StudyMachine(2, 5, best_has_four)
    run = Simulation(machine, {"CPU": 2}, ONE_POOL, shared_front)
    run.run()
    seeds = Counter(trial for trial, _ in run.rows)
    assert seeds == {0: 2, 1: 2, 2: 2, 3: 2, 4: 4}
    assert sorted(run.told) == [0, 1, 2, 3, 4]


def test_no_gpu_works_for_a_trial_while_it_selects() -> None:
    """Two trials, one GPU, one CPU: the second's dense phase runs while the first selects."""
    machine = StudyMachine(1, 2)
    seconds = {"dense": 10.0, "select": 30.0, "finetune": 10.0, "evaluate": 1.0}
    run = Simulation(
        machine, {"GPU": 1, "CPU": 2}, TWO_POOLS, apart, lambda stage, t, s: seconds[stage]
    )
    run.run()
    # dense 10, dense of the other 10 beside the first selection 30, then both ends in turn
    assert run.now == pytest.approx(10 + 10 + 30 + 10 + 1, abs=1)


@pytest.mark.parametrize("select", [5.0, 120.0])
@pytest.mark.slow
def test_ten_thousand_trials_keep_256_gpus_busy(select: float) -> None:
    """95 % of the ideal schedule, which is all GPU work divided by the GPUs, and the last trial."""
    draw = random.Random(0)
    typical = {"dense": 40.0, "select": select, "finetune": 50.0, "evaluate": 2.0}
    machine = StudyMachine(1, 10_000)
    run = Simulation(
        machine,
        {"GPU": 256, "CPU": 1024},
        TWO_POOLS,
        apart,
        lambda stage, t, s: typical[stage] * draw.lognormvariate(0, 0.3),
    )
    run.run()
    ideal = run.busy_seconds["GPU"] / 256 + select
    assert len(run.rows) == 10_000
    assert ideal / run.now >= 0.95
    assert run.most_replicates <= 8 * 1024
