"""Runs the package under shape and type checks, and keeps tests off the network and the screen."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What lies in a person's cache of timm's hub is no part of a test.
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_CACHE="/nonexistent")
# Ray's workers would wait for the other process of tests.
os.environ.setdefault("RAY_worker_niceness", "0")

import hypothesis
import pytest
import threadpoolctl
from jaxtyping import install_import_hook

from command import run
from object_store import s3_server
from warm_ray import WARM

# numpy came with a plugin of pytest, before the line above: two processes of two threads each
# wait for each other on two cores.
threadpoolctl.threadpool_limits(1, user_api="blas")

# Time is measured by benchmarks: on a busy machine a limit a test says nothing.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# A shell that runs the tests in the background hands down a Ctrl-C that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Every annotated function of the science checks its shapes and types while the tests run.
install_import_hook("qpmstudy", "typecheck.checked")


TESTS = Path(__file__).parent
STARTS_RAY = {"cluster", "commands", "docs", "faults", "studies"}
"""Folders of tests that start Ray."""
WITHOUT_RAY = {
    "test_addresses.py",
    "test_auth_token.py",
    "test_deploy.py",
    "test_local_cluster.py",
    "test_rungs.py",
    "test_session.py",
    "test_versions.py",
    "test_embed.py",
    "test_select.py",
    "test_completion.py",
    "test_pages.py",
    "test_reference.py",
    "test_reporter.py",
    "test_running_front.py",
    "test_stage_book.py",
    "test_stage_errors.py",
    "test_stage_flights.py",
    "test_storage.py",
    "test_study_files.py",
    "test_study_machine.py",
    "test_importance.py",
    "test_interruptions.py",
    "test_leases.py",
    "test_trial_events.py",
    "test_events.py",
    "test_trial_ledger.py",
    "test_budget.py",
    "test_replication.py",
    "test_warm_start.py",
    "test_networks_share_gpus",
    "test_a_broken_study_file_is_refused",
    "test_all_errors_of_a_file_are_reported_together",
    "test_what_is_not_there_is_named",
    "test_an_unknown_command_is_a_usage_error",
    "test_a_store_of_another_dataset_is_refused",
    "test_a_corrupt_image_is_named_and_the_extraction_goes_on_once_mended",
    "test_the_license_that_comes_with_gurobipy_is_described",
    "test_tokens_are_what_the_environment_says",
    "test_a_license_that_fails_says_why",
    "test_the_tutorial_is_short",
}
"""What in them does not: files and tests."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that start Ray in one process: only one cluster may be up at a time.

    Those that share one come last, so that it need not be started twice.
    """
    for item in items:
        in_folder = item.path.relative_to(TESTS).parts[0] in STARTS_RAY
        if in_folder and not {item.path.name, item.name.partition("[")[0]} & WITHOUT_RAY:
            item.add_marker(pytest.mark.xdist_group("ray"))
    items.sort(key=shares_ray)


def shares_ray(item: pytest.Item) -> bool:
    return "warm_ray" in getattr(item, "fixturenames", ())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have no cluster beside one that a test starts itself."""
    if not shares_ray(item):
        WARM.down()


@pytest.fixture
def warm_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """The cluster that tests share; after one that failed the next gets a new one."""
    WARM.up()
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        WARM.down()


@pytest.fixture(scope="session", autouse=True)
def no_ray_is_left() -> Iterator[None]:
    """Stop what is shared when the tests are over."""
    yield
    WARM.down()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage root with the embeddings of the smallest birds, to be copied, not written to."""
    root = tmp_path_factory.mktemp("embedded")
    result = run("embed", "--dataset", "birds-smoke", "--root", root)
    assert result.code == 0, result.err
    return root


@pytest.fixture
def fresh_root(embedded: Path, tmp_path: Path) -> Path:
    """A storage root of the test's own, with the embeddings in it."""
    return shutil.copytree(embedded, tmp_path / "runs")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of a bucket that this process serves."""
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3: str, tmp_path: Path) -> str:
    """The URL of a folder of the test's own in that bucket."""
    return f"{s3}/{tmp_path.name}"
