"""Early stopping: by non-dominated rank, never the best, the same after a restart."""

import asyncio
import csv
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.plan import reconcile
from cluster.rung_desk import RungDesk
from cluster.rung_figures import RungFigures
from cluster.rungs import Report, Rungs, Verdict, rung_at
from cluster.study_machine import Deal, Finish, Start, Stop, StudyMachine
from cluster.trial_ledger import TrialLedger
from qpmstudy.columns import SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.errors import ConfigError
from qpmstudy.pareto import hypervolume, non_dominated
from qpmstudy.stages import StageOutput
from simulated import PIPELINE, Simulation
from storage.artifacts import ArtifactStore
from storage.results import ResultTable
from storage.study import StudySpec, parse_study
from storage.study.extension import other_changes

RULE = {"rungs": [{"after": "evaluate_dense"}], "keep": 0.5, "min_reached": 2}
Point = tuple[float, ...]


def study(rule: object = RULE, seeds: object = 1, **other: Any) -> StudySpec:
    content: dict[str, Any] = {
        "name": "a",
        "space": {"finetune.l1_fm": {"low": 0, "high": 1}},
        "sampler": "random",
        "trials": 20,
        "seeds": seeds,
        "early_stopping": rule,
        "objectives": {"accuracy": "max", "sid": "min"},
    }
    return parse_study(content | other, "x")


def rungs_of(spec: StudySpec) -> Rungs:
    rungs = Rungs.of(spec)
    assert rungs
    return rungs


def report(trial: int, values: Iterable[float | None], seed: int = 0) -> Report:
    figures = dict(zip(("dense_accuracy", "dense_sid"), values, strict=True))
    return Report(trial, seed, "evaluate_dense", figures)


def beats(a: Point, b: Point) -> bool:
    """The oracle's domination: accuracy up, SID down."""
    return a[0] >= b[0] and a[1] <= b[1] and a != b


def on_better_fronts(mine: Point, points: list[Point]) -> int:
    """The oracle's count, from the longest chain of points that beat each other."""

    def rank(point: Point) -> int:
        return max((1 + rank(other) for other in points if beats(other, point)), default=0)

    return sum(rank(point) < rank(mine) for point in points)


POINTS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 2), max_size=9)


@settings(max_examples=60)
@given(POINTS, st.sampled_from([0.1, 0.5, 0.9]), st.integers(2, 5))
def test_a_trial_is_stopped_if_better_fronts_fill_the_places(
    points: list[Point], keep: float, least: int
) -> None:
    rungs = rungs_of(study(RULE | {"keep": keep, "min_reached": least}))
    for number, point in enumerate(points):
        verdict = rungs.reached(report(number, point))
        arrived = points[: number + 1]
        full = on_better_fronts(point, arrived) >= math.ceil(keep * len(arrived))
        assert verdict
        assert verdict.stop == (full and len(arrived) >= least)
        if not any(beats(other, point) for other in arrived):
            assert not verdict.stop


@settings(max_examples=40)
@given(POINTS, st.randoms())
def test_one_that_dominates_all_others_is_never_stopped(
    points: list[Point], random: Random
) -> None:
    best = len(points)
    order = [*enumerate(points), (best, (2.0, -1.0))]
    random.shuffle(order)
    for keep in (0.01, 0.5, 0.99):
        rungs = rungs_of(study(RULE | {"keep": keep}))
        verdicts = {number: rungs.reached(report(number, point)) for number, point in order}
        assert verdicts[best]
        assert not verdicts[best].stop


@settings(max_examples=30)
@given(POINTS.filter(bool), st.randoms())
def test_a_verdict_depends_on_who_has_come_not_on_their_order(
    points: list[Point], random: Random
) -> None:
    *before, last = enumerate(points)
    verdicts = set()
    for _ in range(3):
        rungs = rungs_of(study())
        for number, point in before:
            rungs.reached(report(number, point))
        verdicts.add(rungs.reached(report(*last)))
        random.shuffle(before)
    assert len(verdicts) == 1


def test_seeds_are_averaged_and_waited_for() -> None:
    rungs = rungs_of(study(seeds={"min": 2, "max": 3}))
    assert rungs.reached(report(0, (0.5, 0.5), seed=1)) is None
    assert rungs.reached(report(0, (0.9, 0.1), seed=2)) is None  # beyond the first ones
    first = rungs.reached(report(0, (0.75, 0.0), seed=0))
    assert first
    assert rungs.standings["evaluate_dense"][0].means == (0.625, 0.25)
    rungs.reached(report(1, (0.5, 0.5), seed=0))
    second = rungs.reached(report(1, (0.5, 0.5), seed=1))
    assert second
    assert (first.stop, second.stop) == (False, True)
    assert "dense_accuracy 0.5, dense_sid 0.5 (mean of 2 seeds)" in second.why
    assert "of 2 trials that reached it 1 are on better fronts" in second.why
    assert rungs.reached(report(1, (1.0, 0.0), seed=1)) is None  # told again: never revised


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_has_no_figure_goes_on_and_is_not_compared_with(value: float | None) -> None:
    rungs = rungs_of(study())
    assert rungs.reached(report(0, (1.0, value))) is None
    assert rungs.reached(Report(1, 0, "evaluate_dense", {"dense_accuracy": 1.0})) is None
    verdict = rungs.reached(report(2, (0.0, 1.0)))
    assert verdict
    assert not verdict.stop


def test_a_restart_changes_no_verdict(tmp_path: Path) -> None:
    """Points get worse and better by turns; the driver is a new one for every trial."""
    spec = study()
    points = [(0.5 + 0.1 * math.sin(k * k), 0.5 + 0.1 * math.cos(3 * k)) for k in range(12)]
    through, stopped = rungs_of(spec), set()
    for number in range(12):
        expected = through.reached(report(number, points[number]))
        ledger = TrialLedger(tmp_path / "ledger", spec)
        ledger.deal()
        machine = reconcile(spec, ledger, ResultTable(tmp_path)).machine
        assert {n for n in range(number) if machine.stopped(n)} == stopped
        assert machine.reached(report(number, points[number])) == expected
        assert machine.rungs
        ledger.note_rung(
            number, "evaluate_dense", machine.rungs.standings["evaluate_dense"][number]
        )
        if expected and expected.stop:
            stopped.add(number)
    assert 0 < len(stopped) < 12
    assert "trials" not in other_changes(spec.canonical(), study(RULE | {"keep": 0.9}))


@pytest.mark.parametrize("by", [{"loss": "min", "l1_fm": "min"}, {"l1_fm": "min"}])
def test_trials_are_not_compared_by_what_another_measure_said(
    tmp_path: Path, by: dict[str, str]
) -> None:
    """An extension may measure something else at a rung that trials have passed already."""

    def measured(by: dict[str, str]) -> StudySpec:
        return study(RULE | {"rungs": [{"after": "finetune", "epoch": 5, "by": by}]})

    before, spec = measured({"loss": "min"}), measured(by)
    assert other_changes(before.canonical(), spec) == []
    ledger, rungs = TrialLedger(tmp_path / "ledger", before), rungs_of(before)
    for number in range(4):
        ledger.deal()
        rungs.reached(Report(number, 0, "finetune@5", {"loss": 0.1 * number}))
        ledger.note_rung(number, "finetune@5", rungs.standings["finetune@5"][number])
    assert [standing.verdict.stop for _, _, standing in ledger.rungs() if standing.verdict] == [
        *(False, True, True, True)
    ]
    machine = reconcile(spec, TrialLedger(tmp_path / "ledger", spec), ResultTable(tmp_path)).machine
    assert [number for number in range(4) if machine.stopped(number)] == [1, 2, 3]
    machine.dealt(4)
    verdict = machine.reached(Report(4, 0, "finetune@5", {"loss": 9.0, "l1_fm": 9.0}))
    assert verdict
    assert not verdict.stop  # the first that is measured so


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_samplers_go_on_after_stopped_trials(tmp_path: Path, sampler: str) -> None:
    ledger = TrialLedger(tmp_path / "ledger", study(sampler=sampler))
    for number in range(8):
        ledger.deal()
        ledger.stop(number) if number % 2 else ledger.tell(number, [0.1 * number, 0.5])
    assert ledger.deal().number == 8
    assert [trial.running for trial in ledger.trials()] == [False] * 8 + [True]


def test_rungs_at_epochs_have_figures_of_their_own() -> None:
    by = {"validation_accuracy": "max", "l1_fm": "min"}
    spec = study(RULE | {"rungs": [{"after": "finetune", "epoch": 5, "by": by}]})
    assert rung_at(spec.early_stopping, "evaluate_dense") is None
    assert rung_at(spec.early_stopping, "finetune", 4) is None
    assert rung_at(spec.early_stopping, "finetune", 5)
    found = {"validation_accuracy": 0.5, "l1_fm": 0.1, "loss": 3.0}
    verdict = rungs_of(spec).reached(Report(0, 0, "finetune@5", found))
    assert verdict
    assert "validation_accuracy 0.5, l1_fm 0.1 (" in verdict.why


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, r"early_stopping\.rungs: this key is required"),
        ({"rungs": []}, r"early_stopping\.rungs: Tuple should have at least 1 item"),
        ({"rungs": [{"after": "select"}]}, r"rungs\.0\.after: Input should be 'evaluate_dense'"),
        ({"rungs": [{"after": "finetune"}]}, r"rungs\.0: give an `epoch` of finetune"),
        ({"rungs": [{"after": "evaluate_dense", "epoch": 1}]}, r"leave `epoch` out"),
        ({"rungs": [{"after": "dense", "epoch": 3}]}, r"an epoch's rung needs `by`"),
        ({"rungs": [{"after": "evaluate_dense"}] * 2}, r"a rung stands twice"),
        (RULE | {"keep": 1}, r"early_stopping\.keep: Input should be less than 1"),
        (RULE | {"min_reached": 1}, r"min_reached: .* greater than or equal to 2"),
        (
            {"rungs": [{"after": "dense", "epoch": 3, "by": {"validation_acuracy": "max"}}]},
            r"at dense@3 there is no figure 'validation_acuracy', .*Did you mean 'validation_acc",
        ),
        (
            {"rungs": [{"after": "evaluate_dense", "by": {"accuracy": "max"}}]},
            r"at evaluate_dense there is no figure 'accuracy', only dense_accuracy",
        ),
    ],
)
def test_rungs_that_cannot_be(rule: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(rule)


def test_without_validation_images_nothing_can_be_known_of_them() -> None:
    by = {"rungs": [{"after": "dense", "epoch": 3, "by": {"validation_accuracy": "max"}}]}
    with pytest.raises(ConfigError, match=r"at dense@3 nothing is known of validation images"):
        study(by, protocol="paper")
    (note,) = [note for note in study(by).notes() if "early stopping" in note]
    assert "by validation_accuracy alone" in note


def test_nothing_is_stopped_unless_asked_for() -> None:
    assert study(None).early_stopping is None
    assert Rungs.of(study(None)) is None
    spec = study()
    assert parse_study(spec.canonical(), "x") == spec


def test_a_run_that_is_stored_tells_what_it_was_worth_at_each_rung(tmp_path: Path) -> None:
    by = {"validation_accuracy": "max", "l1_fm": "min"}
    rungs = [{"after": "evaluate_dense"}, {"after": "finetune", "epoch": 2, "by": by}]
    spec = study(RULE | {"rungs": rungs})
    store, keys = ArtifactStore(tmp_path), {"evaluate_dense": "a" * 64, "finetune": "b" * 64}
    metrics = {
        "validation": dict.fromkeys(SPLIT_METRICS, 0.25),
        "train": dict.fromkeys(TRAINING_METRICS, 0.75),
    }
    history = [{"epoch": n, "validation_accuracy": n / 10, "l1_fm": n} for n in (1, 2, 3)]
    figures = RungFigures(spec.early_stopping, "validation")
    assert figures.of_stored(store, 3, 1, keys) == []  # removed since
    store.write(
        "evaluate_dense", keys["evaluate_dense"], StageOutput({}, {"metrics": metrics}), 1.0
    )
    store.write("finetune", keys["finetune"], StageOutput({}, {"history": history}), 1.0)
    dense, tuned = figures.of_stored(store, 3, 1, keys | {"dense": None})
    assert (dense.trial, dense.seed, dense.rung) == (3, 1, "evaluate_dense")
    assert dense.figures["dense_accuracy"] == 0.25
    assert tuned == Report(3, 1, "finetune@2", {"validation_accuracy": 0.2, "l1_fm": 2})


def test_a_verdict_reaches_who_waits_for_it_and_who_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cluster.rung_desk.PATIENCE", 0.01)
    verdict = Verdict(1, "dense@1", True, "behind")

    async def exchange() -> None:
        desk = RungDesk()
        desk.leave(report(1, (0.5, 0.5)))
        assert await desk.wait(1) is None
        early = asyncio.create_task(desk.wait(1))
        await asyncio.sleep(0)
        assert desk.collect([verdict]) == [report(1, (0.5, 0.5))]
        assert desk.collect([]) == []
        assert await early == verdict
        assert await desk.wait(1) == verdict
        assert await desk.wait(2) is None

    asyncio.run(exchange())


# the machine, on a virtual clock


def apart(stage: str, trial: int, seed: int) -> str:
    return f"{stage}-{trial}-{seed}"


def shared(stage: str, trial: int, seed: int) -> str:
    """Selections are shared by pairs of trials: what one leaves another may wait for."""
    return f"{stage}-{trial // 2}-{seed}" if stage == "select" else apart(stage, trial, seed)


def simulated(
    trials: int, seeds: int, values: dict[int, Point], draw: Random, key_of: Any = shared
) -> tuple[StudyMachine, Simulation]:
    machine = StudyMachine(seeds, trials, rungs=rungs_of(study(seeds=seeds)))
    run = Simulation(
        machine,
        {"CPU": draw.randint(1, 5)},
        dict.fromkeys(PIPELINE, "CPU"),
        key_of,
        seconds_of=lambda *_: draw.choice([1.0, 2.0, 7.0]),
        rungs={"dense": {"evaluate_dense": 1.0}},
        report_of=lambda label, trial, seed: report(trial, values[trial], seed),
    )
    return machine, run


@given(st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_every_run_has_one_row_and_nobody_s_stage_is_taken_away(
    trials: int, seeds: int, seed: int
) -> None:
    """In whatever order stages end: each run ends as it should, the best in full."""
    draw = Random(seed)
    values = {t: (draw.choice([0.1, 0.2, 0.3]), draw.choice([0.1, 0.2])) for t in range(trials)}
    best = draw.randrange(trials)
    values[best] = (0.9, 0.0)
    machine, run = simulated(trials, seeds, values, draw)
    run.run()
    assert {*run.rows, *run.stopped} == {(t, s) for t in range(trials) for s in range(seeds)}
    assert not run.rows.keys() & run.stopped
    assert sorted(run.told) == list(range(trials))
    assert set(run.computed.values()) <= {1}
    assert {t for t, _ in run.stopped} <= {t for t in range(trials) if machine.stopped(t)}
    assert not machine.stopped(best)
    assert not run.book.in_flight
    assert run.busy["CPU"] == 0
    assert machine.next(0) == Finish()


def test_a_stopped_trial_s_runs_come_back_as_rows_to_commit() -> None:
    machine = StudyMachine(2, 2, rungs=rungs_of(study(seeds=2)))
    for trial, point in enumerate([(0.9, 0.1), (0.1, 0.9)]):
        assert machine.next(0) == Deal()
        machine.dealt(trial)
        assert machine.next(0) == Start(trial, (0, 1))
        verdicts = [machine.reached(report(trial, point, seed)) for seed in (0, 1)]
    verdict = verdicts[1]
    assert isinstance(verdict, Verdict)
    assert verdict.stop
    machine.row(1, 0, (0.1, 0.9))  # it was quicker than the verdict
    machine.ended(1, (0, 1))
    assert machine.next(0) == Stop(1, (1,), verdict)
    assert machine.row(1, 1, None)
    assert machine.running == 2  # those of the first trial


def test_a_trial_with_all_its_rows_costs_nothing_and_is_not_stopped() -> None:
    machine = StudyMachine(1, 0, rungs=rungs_of(study()))
    for trial, point in enumerate([(0.9, 0.1), (0.1, 0.9)]):
        machine.known(trial, {0: point})
        verdict = machine.reached(report(trial, point))
        assert verdict
        assert not verdict.stop
    machine.known(2, {})
    judged = machine.reached(report(2, (0.2, 0.8)))
    assert judged
    assert "of 3 trials" in judged.why


RECORDED = Path(__file__).parent / "recorded_epochs.csv"


def recorded() -> tuple[
    dict[tuple[int, int], Point], dict[tuple[int, int], list[dict[str, float]]]
]:
    """Return what each run of a real study is worth, and the records of its epochs."""
    worth: dict[tuple[int, int], Point] = {}
    epochs: dict[tuple[int, int], list[dict[str, float]]] = defaultdict(list)
    with RECORDED.open() as file:
        for row in csv.DictReader(file):
            run = int(row["trial"]), int(row["seed"])
            worth[run] = float(row["accuracy"]), float(row["plausibility"])
            figures = {name: float(row[name]) for name in ("validation_accuracy", "l1_fm")}
            epochs[run].append(figures)
    return worth, epochs


def replayed(rule: object, dealt: list[int], worth: Any, epochs: Any) -> Simulation:
    """Run the recorded configurations in the order in which they are dealt, on four slots."""
    seeds = 1 + max(seed for _, seed in worth)
    rungs = Rungs.of(study(rule, seeds))
    run = Simulation(
        StudyMachine(seeds, len(dealt), rungs=rungs),
        {"CPU": 4},
        dict.fromkeys(PIPELINE, "CPU"),
        lambda stage, t, s: f"{stage}-{s if stage in PIPELINE[:2] else (t, s)}",
        seconds_of=lambda stage, t, s: {"finetune": 8.0}.get(stage, 1.0),
        rungs={"finetune": {"finetune@4": 0.5}} if rungs else {},
        report_of=lambda label, t, s: Report(t, s, label, epochs[dealt[t], s][3]),
    )
    run.run()
    return run


@pytest.mark.parametrize(("keep", "share"), [(0.5, 0.9), (0.25, 0.85)])
def test_on_a_recorded_study_it_saves_time_and_keeps_the_front(keep: float, share: float) -> None:
    """18 configurations in 40 random orders, stopped after half of their fine-tuning or not."""
    worth, epochs = recorded()
    by = {"validation_accuracy": "max", "l1_fm": "min"}
    rule = {"rungs": [{"after": "finetune", "epoch": 4, "by": by}], "keep": keep}
    trials = sorted({trial for trial, _ in worth})
    means = np.array([np.mean([v for (t, _), v in worth.items() if t == n], 0) for n in trials])
    front = set(np.flatnonzero(non_dominated(means, (True, True))).tolist())
    whole = hypervolume(means, (0.0, 0.0), (True, True))
    times, volumes, kept, stopped = [], [], [], []
    for order in range(40):
        dealt = np.random.default_rng(order).permutation(trials).tolist()
        all_, some = (replayed(how, dealt, worth, epochs) for how in (None, rule))
        ended = {dealt[trial] for trial, _ in some.stopped}
        complete = [trial for trial in trials if trial not in ended]
        times.append(some.now / all_.now)
        stopped.append(len(ended) / len(trials))
        volumes.append(hypervolume(means[complete], (0.0, 0.0), (True, True)) / whole)
        kept.append(len(front & set(complete)) / len(front))
    print(
        f"stopped {np.mean(stopped):.0%}; time {np.mean(times):.0%}; of the front's hypervolume "
        f"{np.mean(volumes):.2%}, {min(volumes):.2%} at least; of its members {np.mean(kept):.0%}"
    )
    assert np.mean(times) < share
    assert min(volumes) > 0.98
