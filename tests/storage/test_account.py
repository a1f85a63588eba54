"""What is told of a study and its trials is what the rows, the store and the log say."""

import json
from typing import Any

import numpy as np
import pytest

from command import here
from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.errors import DataError
from qpmstudy.files import write_json
from qpmstudy.stage_graph import STAGES
from storage.account import LOG_LINES, account_of, log_excerpt, study_account, trial_account
from storage.results import schema
from storage.study import parse_study

LOG = """\
2026-01-01 10:00:00,000 INFO trial 1 (finetune.l1_fm=4): accuracy 1.0
2026-01-01 10:00:01,000 INFO trial 0: its coordinator died:
Traceback (most recent call last):
  File "x.py", line 1, in f
MemoryError
2026-01-01 10:00:02,000 INFO trial 10: its coordinator died:
somewhere else
2026-01-01 10:00:03,000 INFO trial 0 (finetune.l1_fm=0): 1 of 2 seeds FAILED: it broke
"""


@pytest.fixture
def study(own_copy: Any) -> Any:
    """The finished study, seed 1 of trial 0 failed, as a launch leaves it."""
    folder = own_copy.root.study("tiny")
    write_json(folder.spec, own_copy.spec.canonical())
    row = next(r for r in folder.results.rows() if (r["trial"], r["seed"]) == (0, 1))
    kept = {name: row[name] for name in (*flatten(PipelineConfig()), "study", "trial", "seed")}
    kept |= {f"key.{stage}": row[f"key.{stage}"] for stage in STAGES}
    columns = schema(("test", "shift"))
    folder.results.commit(
        kept | {"status": "FAIL", "error": "it broke", "error_log": "in f\nboom"}, columns
    )
    for good in folder.results.rows():
        if good["status"] == "COMPLETE":
            spent = {f"seconds.{stage}": 2.0 for stage in STAGES}
            shared = {
                f"reused.{stage}": good["trial"] == 1 and stage == "dense" for stage in STAGES
            }
            folder.results.commit(good | spent | shared, columns)
    folder.log.write_text(LOG)
    return own_copy


def test_a_study_tells_progress_cost_and_failures(study: Any) -> None:
    told = study_account(study.root, "tiny", lambda spec, rows: len(rows) == 4)
    json.dumps(told, allow_nan=False)
    assert told["state"] == "done"
    assert told["progress"] == {
        "runs": 4, "of": 4, "complete": 3, "failed": 1, "stopped": 0, "configurations": 2,
        "front": [1],
    }  # fmt: skip
    assert told["failures"] == [{"trial": 0, "seed": 1, "error": "it broke"}]
    # one run of trial 0, two of trial 1 that found the dense models there
    assert told["cost"]["dense"] == {
        "computed": 1, "computed_seconds": 2.0, "reused": 2, "reused_seconds": 4.0,
    }  # fmt: skip
    assert told["cost"]["finetune"]["computed_seconds"] == 6.0
    assert told["question"]["space"] == {"finetune.l1_fm": {"values": [0, 4]}}
    assert told["question"]["changed"]["adapter.hidden"] == 12
    assert "adapter.kind" not in told["question"]["changed"]


def test_a_range_from_zero_keeps_its_end(study: Any) -> None:
    space = {"finetune.l1_fm": {"low": 0, "high": 1}}
    spec = parse_study({"name": "a", "space": space, "sampler": "random", "trials": 1}, "a.yaml")
    told = account_of(study.root.study("tiny"), spec, [], over=False)
    assert told["question"]["space"] == space


def test_a_trial_tells_what_it_is_worth_and_where_it_comes_from(study: Any) -> None:
    rows = [row for row in study.root.study("tiny").results.rows() if row["trial"] == 1]
    told = trial_account(study.root, "tiny", 1)
    json.dumps(told, allow_nan=False)
    assert told["on_front"] is True
    values = [row["accuracy"] for row in rows]
    metric = told["metrics"]["accuracy"]
    assert metric["mean"] == pytest.approx(np.mean(values))
    assert metric["standard_error"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(2))
    assert metric["seeds"] == {"0": values[0], "1": values[1]}
    assert list(told["metrics"])[:2] == ["accuracy", "plausibility"]
    assert {"dense_accuracy", "test_sid", "n_features"} < set(told["metrics"])
    assert told["changed"]["finetune.l1_fm"] == 5.0  # the default
    assert told["configuration"]["finetune.l1_fm"] == 4.0
    assert told["certificates"]["0"]["solver"] == "lagrangian"
    assert [s["key"] for s in told["stages"]] == [r[f"key.{s}"] for r in rows for s in STAGES]
    assert [s["stage"] for s in told["stages"] if s["reused"]] == ["dense", "dense"]
    assert all(stage["stored"] and stage["device"] for stage in told["stages"])
    assert told["provenance"]["0"]["fingerprint"] == rows[0]["fingerprint"]
    assert len(told["provenance"]["0"]["weights"]) == 64
    assert told["errors"] == {}
    assert told["log"] == []


def test_a_failed_trial_tells_its_error_and_what_the_log_says(study: Any) -> None:
    told = trial_account(study.root, "tiny", 0)
    json.dumps(told, allow_nan=False)
    assert told["seeds"] == {"0": "COMPLETE", "1": "FAIL"}
    assert told["errors"] == {"1": "it broke"}
    assert told["error_logs"] == {"1": ["in f", "boom"]}
    lines = LOG.splitlines()
    assert told["log"] == [*lines[1:5], lines[7]]  # its own records, whole; not those of trial 10
    assert told["metrics"]["accuracy"]["standard_error"] is None
    assert len(told["stages"]) == 2 * len(STAGES)


def test_removed_stages_and_rows_of_old_are_told_as_such(study: Any) -> None:
    folder = study.root.study("tiny")
    row = next(r for r in folder.results.rows() if r["trial"] == 1)
    study.root.artifacts.discard("finetune", row["key.finetune"])
    told = trial_account(study.root, "tiny", 1)
    gone = [stage["stage"] for stage in told["stages"] if not stage["stored"]]
    assert gone == ["finetune"]


def test_a_trial_without_rows_lists_those_with(study: Any) -> None:
    with pytest.raises(DataError, match=r"Trial 7 of 'tiny' has no result yet .*: 0, 1\)"):
        trial_account(study.root, "tiny", 7)


def test_an_excerpt_is_short(study: Any) -> None:
    folder = study.root.study("tiny")
    folder.log.write_text("2026-01-01 10:00:00,0 INFO trial 3 died:\n" + "at x\n" * 999)
    assert len(log_excerpt(folder, 3)) == LOG_LINES
    folder.log.unlink()
    assert log_excerpt(folder, 3) == []


def test_words_of_others_are_printed_as_they_are(study: Any) -> None:
    odd = "cannot open [/tmp/a], [red]none[/red] :smile:"
    folder = study.root.study("tiny")
    write_json(folder.spec, study.spec.canonical() | {"description": odd})
    (failed,) = (row for row in folder.results.rows() if row["status"] == "FAIL")
    folder.results.commit(failed | {"error": odd}, schema(("test", "shift")))
    for command in (["show", "tiny"], ["show", "tiny", 0], ["status", "tiny"], ["pareto", "tiny"],
                    ["list"]):  # fmt: skip
        found = here("study", *command, "--root", study.root.path)
        assert found.code == 0, found.err
        assert "".join(odd.split()) in "".join(found.out.split()), command
