"""The ledger and the plan: what was dealt, what is left, whatever moment the driver died at."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cluster.plan import Plan, reconcile, settle
from cluster.study_machine import Deal, Start
from cluster.trial_ledger import TrialLedger
from qpmstudy.config import flatten
from qpmstudy.errors import DataError
from storage.results import ResultTable, schema
from storage.study import Seeds, StudySpec, parse_study

SCHEMA: pa.Schema = schema(["test"])


def spec(sampler: str = "grid", trials: int | None = None, seeds: int = 2) -> StudySpec:
    content: dict[str, Any] = {
        "name": "s",
        "sampler": sampler,
        "seeds": seeds,
        "space": {
            "finetune.l1_fm": {"values": [0, 1, 4]},
            "finetune.div": {"values": [0.5, 1]} if sampler == "grid" else {"low": 0, "high": 2},
        },
    }
    return parse_study(content | ({"trials": trials} if trials else {}), "test")


def commit(table: ResultTable, study: StudySpec, job: Any, seed: int, **other: Any) -> None:
    row = {
        **flatten(study.pipeline),
        **job.chosen,
        "study": study.name,
        "trial": job.number,
        "seed": seed,
        "status": "COMPLETE",
        "accuracy": 0.5 + 0.1 * seed,
        "plausibility": 0.8,
    }
    table.commit(row | other, SCHEMA)


def test_a_grid_deals_every_combination_once_in_order(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger", spec())
    dealt = [ledger.deal() for _ in range(6)]
    assert [trial.number for trial in dealt] == list(range(6))
    assert [tuple(trial.chosen.values()) for trial in dealt] == [
        (l1, div) for l1 in (0.0, 1.0, 4.0) for div in (0.5, 1.0)
    ]


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "gp"])
def test_what_a_sampler_draws_does_not_depend_on_interruptions(
    tmp_path: Path, sampler: str
) -> None:
    study = spec(sampler, trials=6)
    through = TrialLedger(tmp_path / "through", study)
    expected = [dict(through.deal().chosen) for _ in range(6)]
    drawn = []
    for _ in range(6):  # a new driver for every trial
        drawn.append(dict(TrialLedger(tmp_path / "cut", study).deal().chosen))
    assert drawn == expected
    assert len({tuple(values.items()) for values in drawn}) > 1
    assert all(0 <= values["finetune.div"] <= 2 for values in drawn)


def test_half_a_last_line_and_a_stale_lock_are_mended(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    first = TrialLedger(path, spec()).deal()
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    (tmp_path / "ledger.lock").symlink_to(path)
    ledger = TrialLedger(path, spec())
    assert [trial.chosen for trial in ledger.trials()] == [first.chosen]
    assert ledger.deal().number == 1


def test_a_trial_cut_off_between_its_values_gets_the_missing_ones(tmp_path: Path) -> None:
    study, path = spec("random", trials=3), tmp_path / "ledger"
    whole = TrialLedger(path, study).deal()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))  # the last value was never written
    (trial,) = TrialLedger(path, study).trials()
    assert trial.running
    assert trial.chosen == whole.chosen


@pytest.mark.parametrize("line", [b"not json", b"5", b"{}", b'{"op_code": 99, "worker_id": "x"}'])
def test_a_damaged_ledger_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger"
    TrialLedger(path, spec()).deal()
    path.write_bytes(line + b"\n" + path.read_bytes())
    with pytest.raises(DataError, match="is damaged"):
        TrialLedger(path, spec())


def test_an_objective_that_is_no_number_is_a_failure_not_a_zombie(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "ledger", spec())
    for values in ([math.nan, 0.5], [None, 0.5], [math.inf, 0.5]):
        trial = ledger.deal()
        assert not ledger.tell(trial.number, values)
    assert not any(trial.running for trial in ledger.trials())
    good = ledger.deal()
    assert ledger.tell(good.number, [0.5, 0.5])
    assert ledger.tell(good.number, [0.9, 0.9])  # told again after a crash: stays as it was


def left(plan: Plan) -> list[Start]:
    """Return what a plan's machine starts before it deals anew."""
    starts: list[Start] = []
    while isinstance(command := plan.machine.next(0), Start):
        starts.append(command)
    assert command == Deal()
    return starts


def test_the_plan_is_what_has_no_row_yet(tmp_path: Path) -> None:
    study, table = spec(), ResultTable(tmp_path / "results")
    ledger = TrialLedger(tmp_path / "ledger", study)
    told, committed, half, _ = (ledger.deal() for _ in range(4))
    for seed in (0, 1):
        commit(table, study, told, seed)
        commit(table, study, committed, seed)
    commit(table, study, half, 1)
    ledger.tell(told.number, [0.5, 0.8])

    plan = reconcile(study, ledger, table)

    assert left(plan) == [Start(2, (0,)), Start(3, (0, 1))]
    assert (plan.machine.undealt, plan.complete) == (2, 2)
    running = [trial.number for trial in ledger.trials() if trial.running]
    assert running == [2, 3]  # the one that was committed but not told has been told


def test_a_row_of_another_configuration_does_not_count(tmp_path: Path) -> None:
    study, table = spec(seeds=1), ResultTable(tmp_path / "results")
    ledger = TrialLedger(tmp_path / "ledger", study)
    trial = ledger.deal()
    commit(table, study, trial, 0, **{"finetune.l1_fm": 3.0})
    assert left(reconcile(study, ledger, table)) == [Start(0, (0,))]


def test_a_damaged_row_is_made_again(tmp_path: Path) -> None:
    study, table = spec(seeds=1), ResultTable(tmp_path / "results")
    ledger = TrialLedger(tmp_path / "ledger", study)
    trial = ledger.deal()
    commit(table, study, trial, 0)
    ledger.tell(trial.number, [0.5, 0.8])
    path = table.path(0, 0)
    path.write_bytes(path.read_bytes()[:-20])
    assert left(reconcile(study, ledger, table)) == [Start(0, (0,))]
    assert not path.exists()


def test_more_seeds_extend_trials_that_were_told(tmp_path: Path) -> None:
    study, table = spec(seeds=1), ResultTable(tmp_path / "results")
    ledger = TrialLedger(tmp_path / "ledger", study)
    trial = ledger.deal()
    commit(table, study, trial, 0)
    ledger.tell(trial.number, [0.5, 0.8])
    plan = reconcile(study.model_copy(update={"seeds": Seeds(min=3, max=3)}), ledger, table)
    assert left(plan) == [Start(0, (1, 2))]


def test_failed_rows_are_final_unless_retried(tmp_path: Path) -> None:
    study, table = spec(seeds=2), ResultTable(tmp_path / "results")
    ledger = TrialLedger(tmp_path / "ledger", study)
    trial = ledger.deal()
    commit(table, study, trial, 0)
    commit(table, study, trial, 1, status="FAIL", error="boom", accuracy=None)
    assert left(reconcile(study, ledger, table)) == []
    assert not ledger.trials()[0].running
    again = reconcile(study, ledger, table, retry_failed=True)
    assert left(again) == [Start(0, (1,))]
    assert [row["seed"] for row in again.stale] == [1]


def test_the_objective_is_the_mean_over_seeds(tmp_path: Path) -> None:
    study, table = spec(), ResultTable(tmp_path / "results")
    ledger = TrialLedger(tmp_path / "ledger", study)
    trial = ledger.deal()
    for seed in (0, 1):
        commit(table, study, trial, seed)
    settle(study, ledger, trial.number, table.rows())
    (frozen,) = ledger._study.trials
    assert frozen.values == pytest.approx([0.55, 0.8])


def conditional(sampler: str, **other: Any) -> StudySpec:
    return parse_study(
        {
            "name": "s",
            "sampler": sampler,
            "space": {
                "select.method": {"values": ["qpm", "sldd", "none"]},
                "select.per_class": {"values": [3, 5], "when": {"select.method": "qpm"}},
                "finetune.l1_fm": {
                    "low": 0,
                    "high": 2,
                    "step": 1,
                    "when": {"select.method": ["qpm", "sldd"]},
                },
            },
        }
        | other,
        "test",
    )


def test_a_grid_leaves_out_what_is_not_varied(tmp_path: Path) -> None:
    study = conditional("grid")
    ledger = TrialLedger(tmp_path / "ledger", study)
    dealt = [tuple(ledger.deal().chosen.values()) for _ in range(study.configurations)]
    assert dealt == [
        *(("qpm", k, l1) for k in (3, 5) for l1 in (0.0, 1.0, 2.0)),
        *(("sldd", l1) for l1 in (0.0, 1.0, 2.0)),
        ("none",),
    ]


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "gp"])
def test_samplers_draw_a_conditional_value_where_its_condition_holds(
    tmp_path: Path, sampler: str
) -> None:
    study = conditional(sampler, trials=12)
    through = TrialLedger(tmp_path / "through", study)
    expected = []
    for number in range(12):
        chosen = through.deal().chosen
        method = chosen["select.method"]
        assert ("select.per_class" in chosen) == (method == "qpm")
        assert ("finetune.l1_fm" in chosen) == (method != "none")
        through.tell(number, [len(chosen), -len(chosen)])
        expected.append(chosen)
    assert len({chosen["select.method"] for chosen in expected}) > 1
    again = TrialLedger(tmp_path / "through", study)
    assert [trial.chosen for trial in again.trials()] == expected


def test_a_grid_with_more_values_goes_on_with_what_is_new(tmp_path: Path) -> None:
    small, path = spec(), tmp_path / "ledger"
    ledger = TrialLedger(path, small)
    first = [ledger.deal().chosen for _ in range(5)]
    content = small.canonical()
    content["space"]["finetune.l1_fm"]["values"] = [0, 0.5, 1, 4]
    larger = parse_study(content, "test")
    ledger = TrialLedger(path, larger)
    dealt = [ledger.deal() for _ in range(3)]
    assert [trial.number for trial in dealt] == [5, 6, 7]
    points = [tuple(c.values()) for c in (*first, *(trial.chosen for trial in dealt))]
    assert sorted(points) == [(l1, div) for l1 in (0.0, 0.5, 1.0, 4.0) for div in (0.5, 1.0)]


def test_a_grid_trial_whose_entry_was_cut_off_is_dealt_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = TrialLedger(path, spec())
    dealt = [ledger.deal().chosen for _ in range(2)]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    ledger = TrialLedger(path, spec())
    assert [trial.chosen for trial in ledger.trials()] == dealt[:1]
    assert ledger.deal().chosen == dealt[1]
    assert [trial.number for trial in ledger.trials()] == [0, 1]
