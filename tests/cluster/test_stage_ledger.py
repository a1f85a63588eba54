"""The stage ledger on a real local cluster: single flight, failures, damaged results."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.session import ray_session
from cluster.shared_embeddings import SharedEmbeddings, share
from cluster.stage_book import Decision
from cluster.stage_ledger import StageReport, StageRequest, start_ledger

# After cluster.session, which sets what ray reads when it is imported.
import ray  # isort: skip

from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.pipeline import stage_keys
from storage.artifacts import ArtifactStore
from storage.study.spec import Resources

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG = with_values(
    PipelineConfig(),
    {
        "embeddings.dataset": "birds-smoke",
        "adapter.hidden": 16,
        "adapter.features": 12,
        "adapter.depth": 2,
        "dense.epochs": 1,
        "select.features": 8,
        "select.per_class": 3,
        "select.gap": 0.2,
    },
)
STORE = ("birds-smoke", "patch-descriptor")


@pytest.fixture(scope="module")
def shared(embedded: Path) -> Iterator[SharedEmbeddings]:
    with ray_session(verbose=False):
        yield share(embedded / "_embeddings" / STORE[0] / STORE[1], *STORE)


def request_for(
    shared: SharedEmbeddings, stage: str = "dense", config: PipelineConfig = CONFIG
) -> StageRequest:
    keys = stage_keys(config, shared.fingerprint, 0)
    inputs = {"dense": keys["dense"]} if stage != "dense" else {}
    return StageRequest(stage, keys[stage], inputs, config, 0)


def ask(ledger: Any, shared: SharedEmbeddings, *requests: StageRequest) -> list[StageReport]:
    answers: list[StageReport] = ray.get(
        [ledger.obtain.remote(request, shared) for request in requests], timeout=120
    )
    return answers


def test_a_stage_wanted_by_many_is_computed_once(shared: SharedEmbeddings, tmp_path: Path) -> None:
    ledger = start_ledger(ArtifactStore(tmp_path), {})
    reports = ask(ledger, shared, *[request_for(shared)] * 20)
    decisions = [report.decision for report in reports]
    assert decisions.count(Decision.COMPUTE) == 1
    assert decisions.count(Decision.JOIN) == 19
    assert len({report.seconds for report in reports}) == 1
    (late,) = ask(ledger, shared, request_for(shared))
    assert late.decision is Decision.REUSE
    (other,) = ask(start_ledger(ArtifactStore(tmp_path), {}), shared, request_for(shared))
    assert other.decision is Decision.REUSE  # by another study, too


def test_an_error_reaches_everyone_who_waits_and_the_next_request_tries_again(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    ledger = start_ledger(ArtifactStore(tmp_path), {})
    broken = request_for(shared, config=with_values(CONFIG, {"dense.lr": 1e30}))
    answers = [ledger.obtain.remote(broken, shared) for _ in range(3)]
    for answer in answers:
        with pytest.raises(ray.exceptions.RayTaskError, match="The loss became"):
            ray.get(answer, timeout=120)
    tally = ray.get(ledger.snapshot.remote(), timeout=60)["tally"]["dense"]
    assert tally == {"computed": 1, "joined": 2, "reused": 0}
    with pytest.raises(ray.exceptions.RayTaskError, match="The loss became"):
        ask(ledger, shared, broken)
    (fine,) = ask(ledger, shared, request_for(shared))
    assert fine.decision is Decision.COMPUTE


def test_a_damaged_result_is_computed_again(shared: SharedEmbeddings, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    request = request_for(shared)
    ask(start_ledger(store, {}), shared, request)
    before = {k: v.clone() for k, v in store.read("dense", request.key).tensors.items()}
    path = store.path("dense", request.key) / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (report,) = ask(start_ledger(store, {}), shared, request)
    assert report.decision is Decision.COMPUTE
    after = store.read("dense", request.key)
    assert all(value.equal(after.tensors[name]) for name, value in before.items())


def test_never_more_selections_at_once_than_tokens(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    ledger = start_ledger(ArtifactStore(tmp_path), {"select": Resources(cpu=0.1, gurobi=2)})
    ask(ledger, shared, request_for(shared))
    requests = []
    for count in (6, 7, 8):
        config = with_values(
            CONFIG, {"select.features": count, "select.gap": 0.0, "select.time_limit": 2.0}
        )
        requests.append(replace(request_for(shared, "select"), config=config, key=str(count) * 64))
    tokens = ray.cluster_resources()["gurobi"]
    answers, least = [ledger.obtain.remote(request, shared) for request in requests], tokens
    while answers:
        _, answers = ray.wait(answers, timeout=0.05)
        least = min(least, ray.available_resources().get("gurobi", 0.0))
    assert least <= tokens - 2  # they were taken while selections ran
    assert ray.cluster_resources()["gurobi"] == tokens
