"""A study that stops trials early, launched, looked at, launched again and extended."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from command import here, smoke_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("warm_ray")]

STOPPING = """\
parallel: 1
early_stopping:
  keep: 0.5
  min_reached: 2
  rungs: [{after: evaluate_dense, by: {dense_accuracy: max, dense_plausibility: max}}]
"""
PRUNED = 2  # optuna's TrialState


def study_of(folder: Path, rates: str) -> Path:
    """One trial after another: what is dealt second never learns anything."""
    path = smoke_study(folder, name="early", values="[0]", epochs=40, seeds=2)
    text = path.read_text().replace(
        "finetune.l1_fm: {values: [0]}", f"dense.lr: {{values: {rates}}}"
    )
    text = text.replace("dense: {epochs: 40", "dense: {epochs: 2")
    assert rates in text
    path.write_text(text + STOPPING)
    return path


def test_a_trial_behind_the_others_is_stopped_and_stays_so(
    fresh_root: Path, tmp_path: Path
) -> None:
    root = fresh_root
    launched = here("study", "launch", study_of(tmp_path, "[1e-2, 1e-7]"), "--root", root)
    assert launched.code == 0, launched.err
    assert "trial 1 (dense.lr=1e-07): stopped at evaluate_dense: dense_accuracy 0." in launched.out
    results = root / "early" / "results"
    rows = {(row["trial"], row["seed"]): row for row in pq.read_table(results).to_pylist()}
    assert {run: row["status"] for run, row in rows.items()} == {
        **{(0, seed): "COMPLETE" for seed in (0, 1)},
        **{(1, seed): "STOPPED" for seed in (0, 1)},
    }
    for seed in (0, 1):
        row = rows[1, seed]
        assert row["stopped_at"] == "evaluate_dense"
        assert "of 2 trials that reached it 1 are on better fronts" in row["stopped_because"]
        assert row["accuracy"] is None
        assert row["seconds.evaluate_dense"] > 0
        assert row["seconds.finetune"] is None
        artifacts = root / "_artifacts"
        assert list(artifacts.glob(f"dense/*/{row['key.dense']}/facts.json"))
        assert not list(artifacts.glob(f"finetune/*/{row['key.finetune']}"))

    assert (
        "trial 1 stopped at evaluate_dense" in here("study", "status", "early", "--root", root).out
    )
    shown = here("study", "show", "early", "--root", root)
    assert "0 failed, 2 stopped early; trials on the front: 0" in shown.out
    trial = here("study", "show", "early", "1", "--json", "--root", root)
    assert json.loads(trial.out)["stopped"].keys() == {"0", "1"}
    assert here("study", "show", "early", "1", "--root", root).code == 0
    front = here("study", "pareto", "early", "--all", "--root", root)
    assert any(line.split()[:2] == ["stopped", "1"] for line in front.out.splitlines())
    table = pq.read_table(root / "early" / "pareto.parquet").to_pylist()
    ends = {r["trial"]: (r["on_front"], r["complete"], r["failed"], r["stopped"]) for r in table}
    assert ends == {0: (True, 2, 0, 0), 1: (False, 0, 0, 2)}
    assert table[1]["why_not"] == "2 of 2 seeds ended early at evaluate_dense"

    # a driver that was killed before the row of a stopped trial was there
    before = {path: path.read_bytes() for path in results.iterdir()}
    (results / "trial-00001-seed-001.parquet").unlink()
    again = here("study", "launch", study_of(tmp_path, "[1e-2, 1e-7]"), "--root", root)
    assert again.code == 0, again.err
    assert "computed" not in again.out
    row = pq.read_table(results / "trial-00001-seed-001.parquet").to_pylist()[0]
    assert (row["status"], row["stopped_because"]) == ("STOPPED", rows[1, 1]["stopped_because"])

    # more values: the new one is compared with those before it, which stay as they were
    more = study_of(tmp_path, "[1e-2, 1e-7, 2e-2]")
    extended = here("study", "launch", more, "--root", root, "--extend")
    assert extended.code == 0, extended.err
    assert "[1/1] trial 2 (dense.lr=0.02): accuracy" in extended.out
    after = {path: path.read_bytes() for path in results.iterdir()}
    kept = [path for path in before if "00001-seed-001" not in path.name]
    assert all(after[path] == before[path] for path in kept)
    journal = (root / "early" / "ledger.journal").read_text()
    assert "of 3 trials that reached it" in journal
    states = [json.loads(line).get("state") for line in journal.splitlines()]
    assert states.count(PRUNED) == 1
