"""Two hosts and the cable between them: what one can reach of the other, and what a cut does."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command import refused, smoke_study
from faults.rows import facts
from faults.two_hosts import Host, reason_to_skip, two_hosts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
"""Ray gives up a silent node after seconds instead of a minute."""
EPOCHS = 80  # long enough that the cut lands in the middle of a stage


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("token") / "auth_token"


@pytest.fixture
def hosts(
    tmp_path: Path, token: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Host, Host]]:
    why = reason_to_skip()
    if why:
        pytest.skip(why)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with two_hosts(tmp_path) as pair:
        try:
            yield pair
        finally:
            for host in pair:
                host.run("cluster", "down")


def test_nothing_of_a_running_study_can_be_reached(
    fresh_root: Path, tmp_path: Path, hosts: tuple[Host, Host]
) -> None:
    here, there = hosts
    study = smoke_study(tmp_path, values="[0]", seeds=1, epochs=3000)  # runs while it is scanned
    launched = here.start("study", "launch", study, "--root", fresh_root)
    try:
        wait_until(lambda: here.computes("dense"), launched)
        assert len(here.scan("127.0.0.1")) > 3  # the scan does find what Ray listens on
        assert there.scan(here.address) == {}
        assert launched.poll() is None
    finally:
        launched.send_signal(signal.SIGINT)
        launched.communicate(timeout=60)


def test_a_cluster_that_others_may_join_refuses_who_has_no_token(
    tmp_path: Path, hosts: tuple[Host, Host]
) -> None:
    here, there = hosts
    up = here.run("cluster", "up", "--cpus", 1, "--listen", here.address)
    assert up.code == 0, up.err
    address = f"{here.address}:6379"
    found = there.scan(here.address)
    assert 6379 in found
    assert set(found.values()) == {"refused"}, found
    quick = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
    other = tmp_path / "other_token"
    other.write_text("0" * 64)
    wrong = there.run("cluster", "up", "--join", address, **quick, RAY_AUTH_TOKEN_PATH=str(other))
    refused(wrong, 2, "refuses the token", str(other))
    missing = there.run("cluster", "up", "--join", address, RAY_AUTH_TOKEN_PATH="/nonexistent/t")
    refused(missing, 2, "no token in /nonexistent/t", "scp -p")


@pytest.mark.long  # Ray takes minutes to give up what it was told is lost
def test_a_cut_cable_costs_a_study_nothing(
    embedded: Path, fresh_root: Path, tmp_path: Path, hosts: tuple[Host, Host]
) -> None:
    """One host of two is lost while it computes a stage; later the cable is put in again."""
    here, there = hosts
    up = here.run("cluster", "up", "--cpus", 1, "--listen", here.address, **IMPATIENT)
    assert up.code == 0, up.err
    address = f"{here.address}:6379"
    joined = there.run("cluster", "up", "--cpus", 1, "--join", address, **IMPATIENT)
    assert joined.code == 0, joined.err
    study = smoke_study(tmp_path, epochs=EPOCHS)
    launched = here.start("study", "launch", study, "--root", fresh_root, RAY_ADDRESS=address)
    wait_until(lambda: there.computes("dense"), launched)
    time.sleep(0.5)
    there.plug("down")
    time.sleep(10)  # the head gives a silent host up after four, and goes on without it
    assert launched.poll() is None
    there.plug("up")
    out, err = launched.communicate(timeout=240)
    assert launched.returncode == 0, out + err
    alone = shutil.copytree(embedded, tmp_path / "alone")
    # on the host that is left: starting Ray once more would take longer than the study
    calm = here.run("study", "launch", study, "--root", alone, RAY_ADDRESS=address, timeout=240)
    assert calm.code == 0, calm.err
    assert len(facts(fresh_root)) == 4
    assert facts(fresh_root) == facts(alone)


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the moment waited for never came"
        time.sleep(0.1)
