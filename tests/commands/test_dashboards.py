"""What TensorBoard and optuna-dashboard show of a finished study, asked as a browser asks them."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from command import Finished, here, refused, start
from qpmstudy.config import flatten
from storage.layout import StorageRoot
from storage.spec_file import stored_spec

pytestmark = [pytest.mark.slow]
WAIT = 60.0


def asked(url: str, content: Any = None) -> Any:
    """Return what a server answers, as soon as it does."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    end = time.monotonic() + WAIT
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.fixture(scope="module")
def board(finished: Finished) -> Iterator[str]:
    """The address of TensorBoard, as the command prints it."""
    process = start("study", "tensorboard", "smoke", "--root", finished.root, "--port", 0)
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_hparams_have_every_value_and_the_metrics_of_both_phases(
    board: str, finished: Finished
) -> None:
    end = time.monotonic() + WAIT
    while len(asked(f"{board}data/runs")) < 5 and time.monotonic() < end:  # it reads in a thread
        time.sleep(0.2)
    experiment = asked(f"{board}data/plugin/hparams/experiment", {"experimentName": ""})
    spec = stored_spec(StorageRoot(finished.root).study("smoke"))
    names = [info["name"] for info in experiment["hparamInfos"]]
    assert set(names) == set(flatten(spec.pipeline))
    shown = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert shown[:4] == [
        "metrics/accuracy", "metrics/dense_accuracy",
        "metrics/plausibility", "metrics/dense_plausibility",
    ]  # fmt: skip
    groups = asked(
        f"{board}data/plugin/hparams/session_groups",
        {
            "experimentName": "",
            "allowedStatuses": ["STATUS_SUCCESS"],
            "colParams": [{"metric": {"tag": "metrics/accuracy"}}],
            "startIndex": 0,
            "sliceSize": 10,
        },
    )["sessionGroups"]
    rows = pq.read_table(finished.root / "smoke" / "results").to_pylist()
    assert sorted(group["name"] for group in groups) == ["trial 0", "trial 1"]
    for group in groups:
        mine = [row for row in rows if f"trial {row['trial']}" == group["name"]]
        assert group["hparams"]["finetune.l1_fm"] == mine[0]["finetune.l1_fm"]
        assert len(group["sessions"]) == 2  # one a seed
        values = {
            value["name"]["tag"]: value["value"] for value in group["sessions"][0]["metricValues"]
        }
        assert set(shown) <= set(values)


def test_charts_are_laid_out(board: str) -> None:
    layout = asked(f"{board}data/plugin/custom_scalars/layout")
    titles = [category["title"] for category in layout["category"]]
    assert titles == ["dense", "select", "finetune"]


def test_a_taken_port_and_an_unknown_study_are_refused(finished: Finished) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shown = ("study", "tensorboard", "smoke", "--root", finished.root)
        refused(here(*shown, "--port", port), 2, f"Port {port}", "is taken", "--port 0")
    unknown = here("study", "tensorboard", "nope", "--root", finished.root)
    refused(unknown, 1, "no study 'nope'")


def test_optuna_dashboard_opens_the_ledger_as_it_is(finished: Finished, tmp_path: Path) -> None:
    ledger = finished.root / "smoke" / "ledger.journal"
    before = ledger.read_bytes()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    process = subprocess.Popen(
        [program, "--port", str(port), "--server", "wsgiref", str(ledger)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (study,) = asked(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        assert study["study_name"] == "smoke"
        detail = asked(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}")
    finally:
        process.terminate()
        process.wait(timeout=30)
    rows = pq.read_table(finished.root / "smoke" / "results").to_pylist()
    assert len(detail["trials"]) == 2
    for trial in detail["trials"]:
        mine = [row for row in rows if row["trial"] == trial["number"]]
        means = [sum(row[n] for row in mine) / 2 for n in ("accuracy", "plausibility")]
        assert [float(value) for value in trial["values"]] == pytest.approx(means)
    assert ledger.read_bytes() == before
