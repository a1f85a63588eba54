"""Warm starts: earlier studies' results enter the sampler and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from cluster.plan import reconcile
from cluster.trial_ledger import TrialLedger
from cluster.warm_start import Observation, observations
from qpmstudy.config import flatten, with_values
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.files import write_json
from storage.layout import StorageRoot
from storage.results import schema
from storage.study import StudySpec, parse_study


def study(name: str, **other: Any) -> StudySpec:
    return parse_study(
        {
            "name": name,
            "sampler": "tpe",
            "trials": 6,
            "seeds": 2,
            "space": {"finetune.l1_fm": {"low": 0, "high": 4}},
        }
        | other,
        "test",
    )


def run(root: StorageRoot, spec: StudySpec, trials: list[dict[str, Any]], **row: Any) -> None:
    """Commit two seeds of each configuration; what it is worth grows with its L1."""
    folder = root.study(spec.name)
    write_json(folder.spec, spec.canonical())
    for trial, chosen in enumerate(trials):
        config = flatten(with_values(spec.pipeline, chosen))
        for seed in range(2):
            worth = {"accuracy": chosen["finetune.l1_fm"] + seed, "plausibility": 0.5}
            known = {"study": spec.name, "trial": trial, "seed": seed, "status": "COMPLETE"}
            known |= {"protocol": "validation", "split": "validation"}
            folder.results.commit(config | known | worth | row, schema(["test"]))


def l1(*values: float) -> list[dict[str, Any]]:
    return [{"finetune.l1_fm": value} for value in values]


@pytest.fixture
def root(tmp_path: Path) -> StorageRoot:
    return StorageRoot(tmp_path)


def test_what_lies_in_the_space_is_observed(root: StorageRoot) -> None:
    run(root, study("old"), l1(1.0, 9.0, 3.0))
    found = observations(study("new", warm_start=["old"]), root)
    assert found == [
        Observation("old/0", {"finetune.l1_fm": 1.0}, (1.5, 0.5)),
        Observation("old/2", {"finetune.l1_fm": 3.0}, (3.5, 0.5)),
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"dense.lr": 0.5},
        {"split": "test"},
        {"protocol": "paper"},
        {"status": "FAIL"},
        {"plausibility": None},
        {"finetune.l1_fm": None},
    ],
)
def test_what_answers_another_question_is_not(root: StorageRoot, row: dict[str, Any]) -> None:
    run(root, study("old"), l1(1.0), **row)
    assert observations(study("new", warm_start=["old"]), root) == []


def test_an_unknown_study_is_an_error(root: StorageRoot) -> None:
    run(root, study("old"), l1(1.0))
    with pytest.raises(DataError, match=r"no study 'odl' .*\(known: old\)"):
        observations(study("new", warm_start=["old", "odl"]), root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warm_start": ["../old"]}, r"warm_start\.0: String should match pattern"),
        ({"warm_start": ["_artifacts"]}, r"warm_start\.0: String should match pattern"),
        ({"warm_start": ["new"]}, "goes on from its own results anyway"),
        ({"warm_start": ["old", "old"]}, r"a study stands twice \(got old, old\)"),
        ({"warm_start": ["old"], "sampler": "random"}, "'random' learns from no results"),
    ],
)
def test_wrong_names_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study("new", **changes)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_a_sampler_learns_and_the_study_does_not_count(root: StorageRoot, sampler: str) -> None:
    """The earlier study says that little L1 is bad: from the first trial on there is more."""
    values = [0.3 * index for index in range(12)] + [3.8 + 0.02 * index for index in range(8)]
    run(root, study("old", trials=20), l1(*values))
    ranges = {"finetune.l1_fm": 4, "dense.div": 1, "finetune.div": 2, "finetune.l1_fv": 2}
    new = study(
        "new",
        warm_start=["old"],
        sampler=sampler,
        objectives={"accuracy": "max"},
        space={path: {"low": 0, "high": high} for path, high in ranges.items()},
    )
    path = root.study("new").ledger
    warm = observations(new, root)
    assert len(warm) == 20
    ledger = TrialLedger(path, new, warm)
    first = [ledger.deal() for _ in range(4)]
    assert [trial.number for trial in first] == [0, 1, 2, 3]
    drawn = [trial.chosen["finetune.l1_fm"] for trial in first]
    assert drawn[0] > 2.7, drawn  # the upper third of the range
    assert sorted(drawn)[2] > 2.7, drawn
    assert ledger.tell(0, [0.5])
    again = TrialLedger(path, new, warm)  # launched again: entered once
    assert [(t.number, t.chosen, t.running) for t in again.trials()] == [
        (t.number, t.chosen, t.number > 0) for t in first
    ]
    assert again.deal().number == 4
    plan = reconcile(new, again, root.study("new").results)
    assert (len(plan.trials), plan.machine.undealt) == (5, 1)


def test_entering_goes_on_where_it_was_cut_off(root: StorageRoot) -> None:
    run(root, study("old"), l1(1.0, 2.0, 3.0))
    new = study("new", warm_start=["old"])
    warm, path = observations(new, root), root.study("new").ledger
    TrialLedger(path, new, warm[:2])
    ledger = TrialLedger(path, new, warm)
    assert [trial.user_attrs["warm_start"] for trial in ledger._study.trials] == [
        "old/0",
        "old/1",
        "old/2",
    ]
    assert ledger.deal().number == 0
    assert TrialLedger(path, new, warm[:1]).deal().number == 1  # begun: nothing enters any more
