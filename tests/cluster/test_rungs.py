"""Early stopping: by non-dominated rank, never the best, the same after a restart."""

import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.rungs import Report, Rungs, Verdict
from cluster.trial_ledger import TrialLedger
from qpmstudy.errors import ConfigError
from storage.study import StudySpec, parse_study

STOP = {"rungs": [{"after": "dense"}], "keep": 0.5, "least": 2}


def study(stop: object = STOP, seeds: object = 1, **other: Any) -> StudySpec:
    content: dict[str, Any] = {
        "name": "a",
        "space": {"finetune.l1_fm": {"low": 0, "high": 1}},
        "sampler": "random",
        "trials": 20,
        "seeds": seeds,
        "stop": stop,
        "objectives": {"accuracy": "max", "sid": "min"},
    }
    return parse_study(content | other, "x")


def come(rungs: Rungs, trial: int, values: tuple[float, ...], seed: int = 0) -> Verdict | None:
    rung = rungs.rung("dense")
    assert rung is not None
    figures = dict(zip(("dense_accuracy", "dense_sid"), values, strict=True))
    return rungs.passed(trial, seed, rung, figures)


def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """The oracle's domination: accuracy up, SID down."""
    return a[0] >= b[0] and a[1] <= b[1] and a != b


def on_better_fronts(mine: tuple[float, ...], points: list[tuple[float, ...]]) -> int:
    """The oracle's count, from the longest chain of points that beat each other."""

    def rank(point: tuple[float, ...]) -> int:
        return max((1 + rank(other) for other in points if beats(other, point)), default=0)

    return sum(rank(point) < rank(mine) for point in points)


POINTS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 2), max_size=9)


@settings(max_examples=60)
@given(POINTS, st.sampled_from([0.1, 0.5, 0.9]), st.integers(2, 5))
def test_a_trial_is_stopped_if_better_fronts_fill_the_places(
    points: list[tuple[float, ...]], keep: float, least: int
) -> None:
    rungs = Rungs(study(STOP | {"keep": keep, "least": least}))
    for number, point in enumerate(points):
        verdict = come(rungs, number, point)
        arrived = points[: number + 1]
        full = on_better_fronts(point, arrived) >= math.ceil(keep * len(arrived))
        assert verdict == Verdict(Report(number, "dense", point), full and len(arrived) >= least)
        if not any(beats(other, point) for other in arrived):
            assert number not in rungs.stopped


@settings(max_examples=30)
@given(POINTS, st.randoms())
def test_one_that_dominates_all_others_is_never_stopped(
    points: list[tuple[float, ...]], random: Random
) -> None:
    best = len(points)
    order = [*enumerate(points), (best, (2.0, -1.0))]
    random.shuffle(order)
    for keep in (0.01, 0.5, 0.99):
        rungs = Rungs(study(STOP | {"keep": keep}))
        for number, point in order:
            come(rungs, number, point)
        assert best not in rungs.stopped


@settings(max_examples=30)
@given(POINTS.filter(bool), st.randoms())
def test_a_verdict_depends_on_who_has_come_not_on_their_order(
    points: list[tuple[float, ...]], random: Random
) -> None:
    *before, last = enumerate(points)
    verdicts = set()
    for _ in range(3):
        rungs = Rungs(study())
        for number, point in before:
            come(rungs, number, point)
        verdicts.add(come(rungs, *last))
        random.shuffle(before)
    assert len(verdicts) == 1


def test_seeds_are_averaged_and_waited_for() -> None:
    rungs = Rungs(study(seeds={"min": 2, "max": 3}))
    assert come(rungs, 0, (0.5, 0.5), seed=1) is None
    assert come(rungs, 0, (0.9, 0.1), seed=2) is None  # beyond the first ones
    assert come(rungs, 0, (0.75, 0.0), seed=0) == Verdict(Report(0, "dense", (0.625, 0.25)), False)
    assert come(rungs, 1, (0.5, 0.5), seed=0) is None
    second = come(rungs, 1, (0.5, 0.5), seed=1)
    assert second == Verdict(Report(1, "dense", (0.5, 0.5)), True)
    assert come(rungs, 1, (1.0, 0.0), seed=0) == second  # told again: never revised


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_has_no_figure_goes_on_and_is_not_compared_with(value: float | None) -> None:
    rungs = Rungs(study())
    rung = rungs.rung("dense")
    assert rung
    assert rungs.passed(0, 0, rung, {"dense_accuracy": 1.0, "dense_sid": value}) is None
    assert rungs.passed(1, 0, rung, {"dense_accuracy": 1.0}) is None
    verdict = come(rungs, 2, (0.0, 1.0))
    assert verdict
    assert not verdict.stop


def test_a_restart_changes_no_verdict(tmp_path: Path) -> None:
    """Points get worse and better by turns; the driver is a new one for every trial."""
    spec = study()
    points = [(0.5 + 0.1 * math.sin(k * k), 0.5 + 0.1 * math.cos(3 * k)) for k in range(12)]
    through, stopped = Rungs(spec), set()
    for number in range(12):
        come(through, number, points[number])
        ledger = TrialLedger(tmp_path / "ledger", spec)
        ledger.deal()
        rungs = Rungs(spec, ledger.rung_reports())
        assert rungs.stopped == stopped
        verdict = come(rungs, number, points[number])
        assert verdict
        ledger.note_rung(verdict.report)
        if verdict.stop:
            stopped.add(number)
            ledger.stop(number)
    assert through.stopped == stopped
    assert 0 < len(stopped) < 12
    ledger = TrialLedger(tmp_path / "ledger", spec)
    assert {trial.number for trial in ledger.trials() if not trial.running} == stopped


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_samplers_go_on_after_stopped_trials(tmp_path: Path, sampler: str) -> None:
    ledger = TrialLedger(tmp_path / "ledger", study(sampler=sampler))
    for number in range(8):
        ledger.deal()
        ledger.stop(number) if number % 2 else ledger.tell(number, [0.1 * number, 0.5])
    assert ledger.deal().number == 8


def test_rungs_at_epochs_have_figures_of_their_own() -> None:
    by = {"validation_accuracy": "max", "l1_fm": "min"}
    rungs = Rungs(study(STOP | {"rungs": [{"after": "finetune", "epoch": 5, "by": by}]}))
    assert rungs.rung("dense") is None
    assert rungs.rung("finetune", 4) is None
    rung = rungs.rung("finetune", 5)
    assert rung
    verdict = rungs.passed(0, 0, rung, {"validation_accuracy": 0.5, "l1_fm": 0.1, "loss": 3.0})
    assert verdict == Verdict(Report(0, "finetune@5", (0.5, 0.1)), False)


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({}, r"stop\.rungs: this key is required"),
        ({"rungs": []}, r"stop\.rungs: Tuple should have at least 1 item"),
        ({"rungs": [{"after": "select"}]}, r"stop\.rungs\.0\.after: Input should be 'dense'"),
        ({"rungs": [{"after": "finetune"}]}, r"stop\.rungs\.0: give an `epoch`"),
        ({"rungs": [{"after": "dense", "epoch": 3}]}, r"an epoch's rung needs `by`"),
        ({"rungs": [{"after": "dense"}] * 2}, r"a rung stands twice \(dense, dense\)"),
        (STOP | {"keep": 1}, r"stop\.keep: Input should be less than 1"),
        (STOP | {"least": 1}, r"stop\.least: .* greater than or equal to 2"),
        (
            {"rungs": [{"after": "dense", "epoch": 3, "by": {"validation_acuracy": "max"}}]},
            r"at dense@3 there is no figure 'validation_acuracy', .*Did you mean 'validation_acc",
        ),
        (
            {"rungs": [{"after": "dense", "by": {"accuracy": "max"}}]},
            r"at dense there is no figure 'accuracy', only dense_accuracy",
        ),
    ],
)
def test_rungs_that_cannot_be(stop: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(stop)


def test_nothing_is_stopped_unless_asked_for() -> None:
    assert study(None).stop is None
    spec = study()
    assert parse_study(spec.canonical(), "x") == spec
