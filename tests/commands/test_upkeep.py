"""show, plan, gc and cancel through the command line, on one finished study."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command import CLI, Finished, here, refused, smoke_study
from qpmstudy.stage_graph import STAGES
from storage.driver_lock import driver_lock
from storage.layout import StorageRoot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_study_and_its_trials_are_shown(finished: Finished) -> None:
    shown = here("study", "show", "smoke", "--root", finished.root)
    assert shown.code == 0
    for words in ("smoke: done, 4 of 4 runs", "finetune.l1_fm   0, 2", "cost", "dense.epochs"):
        assert words in shown.out
    shown = here("study", "show", "smoke", 1, "--root", finished.root)
    for words in ("test_accuracy", "lagrangian", "study launch", "commit", "torch "):
        assert words in shown.out
    # which of two trials computes the dense model that they share is a matter of moments
    other = here("study", "show", "smoke", 0, "--root", finished.root)
    assert "reused" in shown.out + other.out
    told = json.loads(here("study", "show", "smoke", 1, "--root", finished.root, "--json").out)
    known = told["provenance"]["0"]
    assert known["command"].startswith("python cli.py study launch ")
    assert all(known[f"device.{stage}"] for stage in STAGES)
    assert len(known["source"]) == 64
    refused(here("study", "show", "smoke", 7, "--root", finished.root), 1, "no result yet", "0, 1")
    refused(here("study", "show", "none", "--root", finished.root), 1, "no study 'none'")


def test_the_model_card_says_how_to_make_it_again(finished: Finished) -> None:
    for model in finished.models.iterdir():
        card = (model / "MODEL_CARD.md").read_text()
        for words in ("- code: ", "- command: `python cli.py study launch ", "- versions: python"):
            assert words in card
        made = json.loads((model / "model.json").read_text())["provenance"]
        assert len(made["weights"]) == 64


def test_a_plan_is_told_without_ray_and_writes_nothing(finished: Finished, tmp_path: Path) -> None:
    study = smoke_study(tmp_path, name="wider", values="[0, 2, 4]", epochs=4)
    before = {path: path.stat().st_mtime_ns for path in finished.root.rglob("*")}
    program = (
        "import sys; from cli import main; main(standalone_mode=False); "
        "assert not {'ray', 'optuna'} & set(sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, "study", "plan", study, "--root", finished.root, "--json"],
        cwd=CLI.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    plan = json.loads(told.stdout)
    compute = {stage["stage"]: stage["compute"] for stage in plan["stages"]}
    assert compute == {"dense": 0, "evaluate_dense": 0, "select": 0, "finetune": 2, "evaluate": 2}
    assert plan["seconds"] > 0
    assert before == {path: path.stat().st_mtime_ns for path in finished.root.rglob("*")}
    shown = here("study", "plan", study, "--root", finished.root)
    assert "3 configurations x 2 seeds; 6 runs to come" in shown.out
    assert "other settings on the same data" in shown.out
    shown = here("study", "plan", finished.study, "--root", finished.root)
    assert "no stage has to be computed" in shown.out


def test_rubbish_is_told_before_it_is_removed(finished: Finished, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    shutil.copytree(finished.root, root)
    kept = set(root.glob("_artifacts/*/*/*"))
    key = "ab" * 32
    stray = StorageRoot(root).artifacts.path("finetune", key)
    shutil.copytree(next(iter(root.glob("_artifacts/finetune/*/*"))), stray)
    options = ("--root", root, "--grace", 0)
    dry = here("study", "gc", *options, "--dry-run")
    assert "would be removed: 1, " in dry.out
    assert stray.exists()
    with driver_lock(StorageRoot(root).study("other").lock):
        refused(here("study", "gc", *options), 2, "A study is running", "study cancel")
    young = here("study", "gc", "--root", root)
    assert "nothing to remove" in young.out
    assert "younger than the grace period" in young.out
    told = json.loads(here("study", "gc", *options, "--json").out)
    assert [Path(one["path"]) for one in told["removed"]] == [stray]
    assert set(root.glob("_artifacts/*/*/*")) == kept
    again = here("study", "launch", finished.study, "--root", root)
    assert "no stage was run" in again.out
    export = here("study", "export", "smoke", "--root", root, "--out", tmp_path / "models")
    assert export.code == 0
    refused(here("study", "gc", "--root", tmp_path / "none"), 2, "no folder")


def test_cancelling_what_does_not_run_says_so(finished: Finished, tmp_path: Path) -> None:
    result = here("study", "cancel", "smoke", "--root", finished.root)
    assert (result.code, result.out) == (0, "smoke is not running: nothing to cancel.\n")
    refused(here("study", "cancel", "none", "--root", finished.root), 1, "no study 'none'")
    root = tmp_path / "runs"
    shutil.copytree(finished.root / "smoke", root / "smoke")
    with driver_lock(root / "smoke" / "driver.lock"):
        result = here("study", "cancel", "smoke", "--root", root, "--wait", 0.1)
    refused(result, 1, "still runs after 0.1 s")
    assert "asked its driver to stop (process " in result.out
    assert (root / "smoke" / "cancel.json").exists()


def test_a_first_launch_that_is_still_making_embeddings_can_be_cancelled(tmp_path: Path) -> None:
    """Its study has no description yet."""
    folder = StorageRoot(tmp_path).study("new")
    with driver_lock(folder.lock):
        result = here("study", "cancel", "new", "--root", tmp_path)
        assert result.code == 0, result.err
        assert folder.cancel.exists()


def test_a_study_that_cannot_be_read_hides_no_other(finished: Finished, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    shutil.copytree(finished.root / "smoke", root / "smoke")
    content = json.loads((root / "smoke" / "study.json").read_text())
    for name, text in (
        ("damaged", '{"name": '),
        ("newer", json.dumps(content | {"name": "newer", "colour": "red"})),
    ):
        (root / name).mkdir()
        (root / name / "study.json").write_text(text)
    listed = here("study", "list", "--root", root)
    assert listed.code == 0, listed.err
    lines = listed.out.splitlines()
    for name, words in (("damaged", "unreadable"), ("newer", "unreadable"), ("smoke", "done")):
        assert any(f" {name} " in line and words in line for line in lines), listed.out
    assert "no such key" in listed.out
    assert here("study", "pareto", "smoke", "--root", root).code == 0
