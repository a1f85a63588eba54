"""A wish to stop reaches the driver that runs, and no other."""

import threading
from pathlib import Path

import pytest

from storage.cancel import cancel_requested, clear_cancel, request_cancel, wait_until_stopped
from storage.driver_lock import driver_lock
from storage.layout import StorageRoot, StudyFolder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StorageRoot(tmp_path).study("s")


def test_where_no_driver_runs_nobody_is_asked(folder: StudyFolder) -> None:
    assert not request_cancel(folder)
    folder.path.mkdir()
    folder.lock.touch()  # as a driver that ended leaves it
    assert not request_cancel(folder)
    assert not cancel_requested(folder)
    assert wait_until_stopped(folder, 0)


def test_a_running_driver_is_asked_until_the_next_one_clears_it(folder: StudyFolder) -> None:
    with driver_lock(folder.lock):
        assert not cancel_requested(folder)
        assert request_cancel(folder)
        assert request_cancel(folder)  # asking twice is asking once
        assert cancel_requested(folder)
        assert not wait_until_stopped(folder, 0)
    assert cancel_requested(folder)
    with driver_lock(folder.lock):
        clear_cancel(folder)
        clear_cancel(folder)
        assert not cancel_requested(folder)


def test_a_half_written_wish_counts(folder: StudyFolder) -> None:
    folder.path.mkdir()
    folder.cancel.write_bytes(b"")
    assert cancel_requested(folder)


def test_waiting_ends_with_the_driver(folder: StudyFolder) -> None:
    asked, held = threading.Event(), threading.Event()

    def drive() -> None:
        with driver_lock(folder.lock):
            held.set()
            assert asked.wait(30)

    driver = threading.Thread(target=drive)
    driver.start()
    assert held.wait(30)
    assert request_cancel(folder)
    asked.set()
    assert wait_until_stopped(folder, 30)
    driver.join()
