"""The stage ledger on a real local cluster: single flight, failures, damaged results."""

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from cluster.flight import Flight
from cluster.heartbeat import LedgerLine
from cluster.leases import Holder
from cluster.session import ray_session
from cluster.shared_embeddings import SharedEmbeddings, share
from cluster.stage_book import Decision
from cluster.stage_ledger import compute_stage, start_ledger
from cluster.stage_source import StageReport, StageRequest
from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.files import write_bytes
from qpmstudy.stage_graph import stage_keys
from storage.artifacts import ArtifactStore
from storage.study.spec import Resources

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG = with_values(
    PipelineConfig(),
    {
        "embeddings.dataset": "birds-smoke",
        "adapter.hidden": 16,
        "adapter.features": 48,
        "adapter.depth": 2,
        "dense.epochs": 1,
        "select.features": 20,
        "select.per_class": 4,
        "select.gap": 0.2,
    },
)
STORE = ("birds-smoke", "patch-descriptor")


@pytest.fixture(scope="module")
def shared(embedded: Path) -> Iterator[SharedEmbeddings]:
    with ray_session(verbose=False, tokens=2):
        yield share(embedded / "_embeddings" / STORE[0] / STORE[1], *STORE)


def request_for(
    shared: SharedEmbeddings, stage: str = "dense", config: PipelineConfig = CONFIG
) -> StageRequest:
    fingerprint = ray.get(shared.without_patches, timeout=120).fingerprint
    keys = stage_keys(config, fingerprint, 0)
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


class Asker:
    """A coordinator's part: it asks the ledger, and may die."""

    async def ask(self, ledger: Any, request: StageRequest, shared: SharedEmbeddings) -> None:
        await ledger.obtain.remote(request, shared)


def test_whoever_asked_first_may_die_and_the_stage_is_there_for_the_next(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    ledger = start_ledger(ArtifactStore(tmp_path), {})
    request = request_for(shared, config=with_values(CONFIG, {"dense.epochs": 20}))
    first = ray.remote(Asker).options(num_cpus=0).remote()
    asked = first.ask.remote(ledger, request, shared)
    until(lambda: running(ledger))
    second = ledger.obtain.remote(request, shared)
    ray.kill(first)
    with pytest.raises(ray.exceptions.ActorDiedError, match="killed"):
        ray.get(asked, timeout=60)
    assert ray.get(second, timeout=60).decision is Decision.JOIN
    assert ray.get(ledger.snapshot.remote(), timeout=60)["running"] == {}


def test_a_task_finds_what_was_stored_while_it_waited(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    """A ledger that died had set another to it: that one's result is taken, not made again."""
    store, request = ArtifactStore(tmp_path), request_for(shared)
    ask(start_ledger(store, {}), shared, request)
    manifest = store.path("dense", request.key) / "manifest.json"
    before = (manifest.stat().st_ino, manifest.stat().st_mtime_ns)
    line = LedgerLine(start_ledger(store, {}), request.key, "an attempt of another", 120.0)
    seconds = ray.get(compute_stage.remote(request, shared, store, 1, {}, line), timeout=60)
    assert seconds == store.manifest("dense", request.key)["seconds"]
    assert (manifest.stat().st_ino, manifest.stat().st_mtime_ns) == before


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


def selections(
    shared: SharedEmbeddings, seeds: int, first: int = 0, **values: object
) -> list[StageRequest]:
    """Return requests for selections of the same dense model, each under another key."""
    changes = {f"select.{name}": value for name, value in values.items()}
    request = replace(request_for(shared, "select"), config=with_values(CONFIG, changes))
    return [replace(request, key=f"{s:064x}", seed=s) for s in range(first, first + seeds)]


def most_at_once(store: ArtifactStore, requests: list[StageRequest]) -> int:
    """Return how many of these stages were being computed at the same moment, at most."""
    events = []
    for request in requests:
        manifest = store.manifest(request.stage, request.key)
        assert manifest is not None
        end, seconds = manifest["written"], manifest["seconds"]
        events += [(end - seconds, 1), (end, -1)]
    running = most = 0
    for _, change in sorted(events):
        running += change
        most = max(most, running)
    return most


# two at once first: whoever may not be two has two workers waiting then
@pytest.mark.parametrize(("tokens", "at_once"), [(1.0, 2), (2.0, 1)])
def test_never_more_selections_at_once_than_tokens_and_none_is_starved(
    shared: SharedEmbeddings, tmp_path: Path, tokens: float, at_once: int
) -> None:
    store = ArtifactStore(tmp_path)
    # the cluster has two tokens and room for many such tasks
    ledger = start_ledger(store, {"select": Resources(cpu=0.1, gurobi=tokens)})
    ask(ledger, shared, request_for(shared))
    requests: list[StageRequest] = []
    deadline = time.monotonic() + 120
    # until a second worker has imported torch, one may answer all
    while most_at_once(store, requests) < at_once and time.monotonic() < deadline:
        more = selections(shared, 12, first=len(requests), gap=0.0, time_limit=1.0)
        ask(ledger, shared, *more)
        requests += more
    assert most_at_once(store, requests) == at_once


def test_selections_that_may_use_gurobi_take_a_token_each_unless_told_otherwise(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    store = ArtifactStore(tmp_path)
    ledger = start_ledger(store, {"select": Resources(cpu=0.1)})
    ask(ledger, shared, request_for(shared))
    licensed = selections(shared, 6, solver="gurobi", gap=0.0, time_limit=1.0)
    ask(ledger, shared, *licensed)
    assert most_at_once(store, licensed) <= 2
    solvers = {store.facts("select", request.key)["solver"] for request in licensed}
    assert solvers == {"gurobi"}


def test_a_worker_killed_in_the_middle_of_a_solve_gives_its_token_back(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    store = ArtifactStore(tmp_path)
    ledger = start_ledger(store, {"select": Resources(cpu=0.1, gurobi=2)})  # all there are
    ask(ledger, shared, request_for(shared))
    requests = selections(shared, 3, gap=0.0, time_limit=3.0)
    answers = [ledger.obtain.remote(request, shared) for request in requests]
    os.kill(begun("ray::select")[0], signal.SIGKILL)
    reports = ray.get(answers, timeout=120)
    assert len(reports) == 3
    assert all(store.manifest("select", request.key) for request in requests)
    until(lambda: ray.available_resources().get("gurobi", 0.0) == 2)


def running(ledger: Any) -> dict[str, int]:
    found: dict[str, int] = ray.get(ledger.snapshot.remote(), timeout=60)["running"]
    return found


def test_a_stage_is_stopped_once_nobody_waits_for_it_and_not_before(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    ledger = start_ledger(ArtifactStore(tmp_path), {"dense": Resources(cpu=2)})  # all there are
    long = request_for(shared, config=with_values(CONFIG, {"dense.epochs": 10_000}))
    first, second = (replace(long, trial=trial) for trial in (1, 2))
    answers = [ledger.obtain.remote(request, shared) for request in (first, second)]
    until(lambda: ray.get(ledger.epochs.remote(long.key, 0), timeout=60))
    ray.get(ledger.leave.remote(first), timeout=60)
    assert running(ledger) == {"dense": 1}
    ray.get(ledger.leave.remote(second), timeout=60)
    assert running(ledger) == {}
    for answer in answers:
        with pytest.raises(ray.exceptions.RayTaskError, match="is wanted by nobody"):
            ray.get(answer, timeout=60)
    # its CPUs are free for the next, and it left nothing behind
    (report,) = ask(ledger, shared, request_for(shared))
    assert report.decision is Decision.COMPUTE
    assert [path.name for path in (tmp_path / "dense").glob("*/*")] == [report.key]


def test_a_stage_that_is_stopped_while_it_imports_spoils_no_other(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    """Processes are used again; half of torch in one would fail whatever comes after."""
    ledger = start_ledger(ArtifactStore(tmp_path), {"dense": Resources(cpu=2)})  # all there are
    long = request_for(shared, config=with_values(CONFIG, {"dense.epochs": 10_000}))
    for pid in processes("ray::IDLE"):  # which have imported it already
        os.kill(pid, signal.SIGKILL)
    answer = ledger.obtain.remote(long, shared)
    begun("ray::dense")
    ray.get(ledger.leave.remote(long), timeout=60)
    with pytest.raises(ray.exceptions.RayTaskError, match="is wanted by nobody"):
        ray.get(answer, timeout=60)
    (report,) = ask(ledger, shared, request_for(shared))
    assert report.decision is Decision.COMPUTE


@pytest.mark.parametrize("library", [ctypes.CDLL, ctypes.PyDLL])
def test_a_call_into_c_that_no_interrupt_reaches_is_ended_in_bounded_time(
    shared: SharedEmbeddings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: type[ctypes.CDLL],
) -> None:
    """The second one holds Python's global lock all the while: nor does force reach its process."""
    monkeypatch.setattr("cluster.flight.GRACE_SECONDS", 0.5)
    note = tmp_path / "pid"

    @ray.remote(max_retries=0, num_cpus=2)  # all there are
    def asleep() -> float:
        write_bytes(note, str(os.getpid()).encode())
        while True:
            library(None).sleep(600)

    async def scene() -> None:
        flight = Flight(lambda _: asleep.remote(), 120.0)
        while not note.exists():
            await asyncio.sleep(0.02)
        here = ray.get_runtime_context().get_node_id()
        flight.lease.beat(Holder(here, "here", int(note.read_text())))
        await flight.stop()
        with pytest.raises(ray.exceptions.TaskCancelledError, match=r"^$"):  # Ray says no more
            await flight.result()

    asyncio.run(scene())
    until(lambda: not psutil.pid_exists(int(note.read_text())))
    until(lambda: ray.available_resources().get("CPU") == 2)


def test_waiting_for_resources_is_no_part_of_a_time_limit(
    shared: SharedEmbeddings, tmp_path: Path
) -> None:
    """They are taken for longer than that; then the stage has them all."""
    free = tmp_path / "free"

    @ray.remote(num_cpus=2)  # all there are
    def others() -> None:
        while not free.exists():
            time.sleep(0.1)

    ray.wait(list(shared.shards), num_returns=len(shared.shards), timeout=60)
    taken = others.remote()
    until(lambda: ray.available_resources().get("CPU", 0) == 0)
    needs = {"dense": Resources(cpu=2, time_limit="10s")}
    ledger = start_ledger(ArtifactStore(tmp_path / "artifacts"), needs, lease=8.0)
    answer = ledger.obtain.remote(request_for(shared), shared)
    time.sleep(12)
    assert running(ledger) == {"dense": 1}
    write_bytes(free, b"")
    assert ray.get(answer, timeout=60).decision is Decision.COMPUTE
    assert ray.get(ledger.snapshot.remote(), timeout=60)["endings"] == []
    ray.get(taken, timeout=60)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "what is waited for never came"
        time.sleep(0.05)


def begun(name: str) -> list[int]:
    """Return the processes of a name once there are some."""
    until(lambda: processes(name))
    return processes(name)


def processes(name: str) -> list[int]:
    """Return the processes below this one whose command line begins with `name`."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if " ".join(process.cmdline()).startswith(name):
                found.append(process.pid)
    return found
