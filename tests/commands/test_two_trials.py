"""What two trials do on one GPU: while one selects, the other trains."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

from cluster.auth_token import ensure_token
from command import here, smoke_study
from storage.artifacts import ArtifactStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RESOURCES = """\
stages:
  dense: {gpu: 1, cpu: 0.5}
  finetune: {gpu: 1, cpu: 0.5}
  evaluate_dense: {cpu: 0.5}
  evaluate: {cpu: 0.5}
  select: {cpu: 0.5}
"""


@pytest.fixture
def one_gpu() -> Iterator[None]:
    """A cluster whose only GPU is a name: tasks reserve it and compute on the CPU."""
    ensure_token()
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("one_gpu")
def test_the_gpu_of_a_trial_that_selects_trains_the_other(fresh_root: Path, tmp_path: Path) -> None:
    study = smoke_study(tmp_path, name="two", values="[0]", seeds=1, epochs=10)
    text = study.read_text().replace(
        "finetune.l1_fm: {values: [0]}", "dense.lr: {values: [1e-2, 2e-2]}"
    )
    easy = "features: 10, per_class: 3, gap: 0.2, solver: lagrangian"
    hard = "features: 50, per_class: 5, gap: 0, time_limit: 4, solver: lagrangian"
    text = text.replace("features: 32", "features: 160").replace(easy, hard)
    assert hard in text
    study.write_text(text + RESOURCES)
    launched = here("study", "launch", study, "--root", fresh_root)
    assert launched.code == 0, launched.err

    store, spans = ArtifactStore(fresh_root / "_artifacts"), {}
    for row in pq.read_table(fresh_root / "two" / "results").to_pylist():
        for stage in ("dense", "select", "finetune"):
            manifest = store.manifest(stage, row[f"key.{stage}"])
            assert manifest is not None
            end, seconds = manifest["written"], manifest["seconds"]
            spans[stage, row["trial"]] = end - seconds, end

    def overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
        return min(one[1], other[1]) - max(one[0], other[0])

    first, second = sorted((0, 1), key=lambda trial: spans["dense", trial])
    # Held by the trial that selects, the GPU would be free for the other after its fine-tuning.
    freed, selected = spans["dense", first][1], spans["select", first]
    assert spans["dense", second][0] < selected[1] < spans["finetune", first][0] + 0.05
    assert spans["dense", second][0] - freed < (selected[1] - freed) / 2
    training = [spans[stage, trial] for stage in ("dense", "finetune") for trial in (0, 1)]
    for position, span in enumerate(training):  # one GPU: never two of them at once
        assert all(overlap(span, other) <= 0.05 for other in training[position + 1 :])
