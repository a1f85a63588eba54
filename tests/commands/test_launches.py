"""Launches that share a cluster: searching, extending, asking too much, failing."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from command import Finished, here, refused, smoke_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("warm_ray")]

SPACE = """\
space:
  finetune.l1_fm: {low: 0.1, high: 8, log: true}
  width: {paths: [adapter.hidden, adapter.features], values: [16, 24]}
seeds: 1
trials: 4
parallel: 1
sampler: SAMPLER
"""


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_sampler_searches_ranges_and_shared_values(
    fresh_root: Path, tmp_path: Path, sampler: str
) -> None:
    study = smoke_study(tmp_path, name=sampler)
    text = study.read_text()
    study.write_text(text[: text.index("space:")] + SPACE.replace("SAMPLER", sampler))
    result = here("study", "launch", study, "--root", fresh_root)
    assert result.code == 0, result.err + result.out
    assert "note: with one seed there is no standard error" in result.out
    rows = pq.read_table(fresh_root / sampler / "results").to_pylist()
    assert [(row["trial"], row["status"]) for row in rows] == [(n, "COMPLETE") for n in range(4)]
    assert all(0.1 <= row["finetune.l1_fm"] <= 8 for row in rows)
    assert len({row["finetune.l1_fm"] for row in rows}) == 4
    assert all(row["adapter.hidden"] == row["adapter.features"] for row in rows)
    # dense models are shared by width, whatever the sampler draws after it
    assert len({row["key.dense"] for row in rows}) == len({row["adapter.hidden"] for row in rows})


def test_more_seeds_extend_a_finished_study(finished: Finished, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    shutil.copytree(finished.root, root)
    before = {path: path.read_bytes() for path in (root / "smoke" / "results").iterdir()}
    more = smoke_study(tmp_path, epochs=4, seeds=3)
    refused(here("study", "launch", more, "--root", root), 2, "seeds: 2 before, 3 now", "reused")
    extended = here("study", "launch", more, "--root", root, "--extend")
    assert extended.code == 0, extended.err
    assert all(path.read_bytes() == content for path, content in before.items())
    rows = pq.read_table(root / "smoke" / "results").to_pylist()
    assert sorted((row["trial"], row["seed"]) for row in rows) == [
        (trial, seed) for trial in (0, 1) for seed in (0, 1, 2)
    ]
    assert "finetune        computed    2" in extended.out


def test_a_stage_that_asks_for_too_much_is_refused_at_once(
    fresh_root: Path, tmp_path: Path
) -> None:
    study = smoke_study(tmp_path, name="greedy", values="[0]", seeds=1)
    study.write_text(study.read_text() + "stages: {dense: {gpu: 8, cpu: 1}}\n")
    result = here("study", "launch", study, "--root", fresh_root)
    refused(result, 2, "8 GPU", "offers", "RAY_ADDRESS")
    # resources are not the question: with others the same study goes on
    study.write_text(study.read_text().replace("gpu: 8, cpu: 1", "cpu: 1"))
    assert here("study", "launch", study, "--root", fresh_root).code == 0


def test_a_failing_configuration_leaves_a_row_that_tells_and_the_study_goes_on(
    fresh_root: Path, tmp_path: Path
) -> None:
    study = tmp_path / "sizes.yaml"
    text = smoke_study(tmp_path, name="sizes", seeds=1).read_text()
    study.write_text(
        text[: text.index("space:")]
        + "space: {finetune.lr: {values: [1e-2, 1e30]}}\nseeds: 1\nparallel: 1\n"
    )
    result = here("study", "launch", study, "--root", fresh_root)
    assert result.code == 0, result.err
    assert "FAILED: The loss became" in result.out
    assert "Traceback" not in result.out + result.err
    status = here("study", "status", "sizes", "--root", fresh_root)
    assert "trial 1 FAILED" in status.out
    ledger = (fresh_root / "sizes" / "ledger.journal").read_text().splitlines()
    states = [json.loads(line).get("state") for line in ledger]
    assert states.count(3) == 1  # optuna's TrialState.FAIL
    retried = here("study", "launch", study, "--root", fresh_root, "--retry-failed")
    assert "FAILED" in retried.out
    assert "finetune        computed    1" in retried.out
