"""A cluster of one machine through the command line: up, used, asked, down."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from cluster.addresses import free_port
from command import refused, run, smoke_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CANARY = "not-to-be-told-7b1f"
CHECK = """\
import sys
from pathlib import Path
from cluster.session import ray_session
from cluster.versions import check_nodes
with ray_session(verbose=False):
    check_nodes(Path(sys.argv[1]))
print("alike")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a cluster whose state and token lie in a folder of their own, and stop it."""
    folder = tmp_path_factory.mktemp("home")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(folder / "token"))
        patch.setenv("QPMSTUDY_CANARY", CANARY)
        patch.setenv("RAY_NUM_REDIS_GET_RETRIES", "1")  # a wrong token is wrong the first time
        patch.delenv("RAY_ADDRESS", raising=False)
        up = run("cluster", "up", "--cpus", 2, "--gurobi", 3, "--port", port)
        assert up.code == 0, up.err
        assert f"export RAY_ADDRESS=127.0.0.1:{port}" in up.out
        assert (folder / "token").read_text() not in up.out + up.err
        patch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        yield folder
        parent = psutil.Process(json.loads((folder / "qpmstudy" / "node.json").read_text())["pid"])
        family = [parent, *parent.children(recursive=True)]
        assert len(family) > 4
        down = run("cluster", "down")
        assert "Stopped the head" in down.out, down.err
        assert not any(process.is_running() for process in family)
        refused(run("cluster", "status"), 2, f"No cluster can be reached at 127.0.0.1:{port}")


def test_status_names_nodes_and_tokens(home: Path, tmp_path: Path) -> None:
    status = run("cluster", "status", "--root", tmp_path)
    assert status.code == 0, status.err
    line = next(line for line in status.out.splitlines() if "127.0.0.1" in line)
    assert [cell.strip() for cell in line.split("│")][2:6] == ["127.0.0.1", "2", "0", "3"]
    assert f"studies running under {tmp_path}: none" in status.out


def test_a_wrong_token_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong").write_text("0" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "wrong"))
    refused(run("cluster", "status"), 2, "refuses the token", str(tmp_path / "wrong"))


def test_a_node_with_the_driver_s_code_passes_the_check(home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECK, tmp_path],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "alike\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_a_study_runs_on_it_and_tells_no_secret(home: Path, fresh_root: Path) -> None:
    study = smoke_study(fresh_root.parent, values="[0]", seeds=1)
    launched = run("study", "launch", study, "--root", fresh_root)
    assert launched.code == 0, launched.err
    rows = pq.read_table(fresh_root / "smoke" / "results").to_pylist()
    assert [row["status"] for row in rows] == ["COMPLETE"]
    secrets = [(home / "token").read_text(), CANARY]
    said = [launched.out, launched.err, str(rows)]
    files = [path for path in fresh_root.rglob("*") if path.is_file()]
    said += [path.read_bytes().decode("latin-1") for path in files]
    said += [(home / "qpmstudy" / name).read_text() for name in ("node.log", "node.json")]
    assert len(said) > 10
    assert not any(secret in text for secret in secrets for text in said)
