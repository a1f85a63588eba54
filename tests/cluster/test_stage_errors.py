"""What went wrong with a stage: which kind it is, and what a trial is told."""

import pickle

import pytest
import ray.exceptions as gone
import torch

from cluster.leases import Holder
from cluster.stage_book import Failure
from cluster.stage_errors import LateError, SilentError, StageError, StorageError, failure, told
from qpmstudy.errors import NonFiniteError

TRACE = "Traceback (most recent call last):\n  File x\n" + "\n".join(f"line {n}" for n in range(30))

HOLDER = Holder("node", "host", 7)


def raised(cause: Exception) -> Exception:
    """Return an error as Ray hands it to who waits for a task that raised it."""
    text = f"{TRACE}\n{type(cause).__name__}: {cause}"
    return gone.RayTaskError("finetune", text, cause).as_instanceof_cause()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (raised(NonFiniteError("The loss became nan")), Failure.ERROR),
        (raised(ValueError("shapes")), Failure.ERROR),
        (raised(MemoryError()), Failure.MEMORY),
        (raised(torch.OutOfMemoryError("CUDA out of memory")), Failure.MEMORY),
        (gone.OutOfMemoryError("killed by the memory monitor"), Failure.MEMORY),
        (raised(gone.ObjectStoreFullError("full")), Failure.MEMORY),
        (raised(gone.OutOfDiskError("full, and nowhere to move objects to")), Failure.MEMORY),
        (gone.WorkerCrashedError(), Failure.LOST),
        (gone.NodeDiedError("node"), Failure.LOST),
        (SilentError(HOLDER, 120.0), Failure.LOST),
        (LateError(HOLDER, 7200.0), Failure.LATE),
        (gone.ObjectLostError("ab" * 14, None, ""), Failure.LOST),
        (raised(gone.ObjectLostError("ab" * 14, None, "")), Failure.LOST),
        (raised(OSError(28, "No space left on device", "/runs/x")), Failure.STORAGE),
        (RuntimeError("in the ledger itself"), Failure.ERROR),
    ],
)
def test_kinds_of_failure(error: Exception, kind: Failure) -> None:
    assert failure(error) is kind


def test_an_error_of_ours_is_told_as_it_is() -> None:
    ours = told(raised(NonFiniteError("The loss became nan.")), "dense", Failure.ERROR)
    assert isinstance(ours, StageError)
    assert (str(ours), ours.excerpt) == ("The loss became nan.", "")


def test_any_other_comes_with_the_end_of_its_traceback() -> None:
    other = told(raised(ValueError("shapes")), "dense", Failure.ERROR)
    assert isinstance(other, StageError)
    assert str(other) == "ValueError: shapes"
    assert other.excerpt.splitlines()[-1] == "ValueError: shapes"
    assert 1 < len(other.excerpt.splitlines()) <= 12
    again = pickle.loads(pickle.dumps(other))
    assert (str(again), again.excerpt) == (str(other), other.excerpt)


def test_what_was_given_up_says_how_often_it_was_tried_and_what_to_do() -> None:
    lost = told(gone.WorkerCrashedError(), "finetune", Failure.LOST)
    for word in ("'finetune'", "4 attempts", "worker or node died", "--retry-failed"):
        assert word in str(lost)


def test_who_fell_silent_is_named_with_where_and_how_long() -> None:
    silent = told(SilentError(HOLDER, 120.0), "select", Failure.LOST)
    assert "process 7 on host gave no sign of life for 120 s and was killed" in str(silent)


def test_who_was_late_is_named_with_where_and_the_limit_and_what_to_do() -> None:
    late = told(LateError(HOLDER, 5400.0), "select", Failure.LATE)
    for words in (
        "'select' was given up after 2 attempts: it was not done within its time limit",
        "raise stages.select.time_limit",
        "--retry-failed",
        "process 7 on host was not done after its time limit of 1h 30m and was ended",
    ):
        assert words in str(late)


def test_a_full_disk_is_not_held_against_the_stage() -> None:
    full = told(raised(OSError(28, "No space left on device", "/r")), "select", Failure.STORAGE)
    assert isinstance(full, StorageError)
    assert "No space left on device" in str(full)
    assert isinstance(pickle.loads(pickle.dumps(full)), OSError)
