"""Searching and extending through the command line."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from command import Finished, here, smoke_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("warm_ray")]

SPACE = """\
space:
  finetune.l1_fm: {low: 0.1, high: 8, log: true}
  width: {paths: [adapter.hidden, adapter.features], values: [16, 24]}
seeds: 1
trials: 4
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
    refused = here("study", "launch", more, "--root", root)
    assert (refused.code, "seeds: 2 before, 3 now" in refused.err) == (2, True)
    extended = here("study", "launch", more, "--root", root, "--extend")
    assert extended.code == 0, extended.err
    assert all(path.read_bytes() == content for path, content in before.items())
    rows = pq.read_table(root / "smoke" / "results").to_pylist()
    assert sorted((row["trial"], row["seed"]) for row in rows) == [
        (trial, seed) for trial in (0, 1) for seed in (0, 1, 2)
    ]
    assert "finetune        computed    2" in extended.out
