"""What went wrong with a stage, in our words: whether to try again, and what its row says."""

import ray.exceptions as gone

from cluster.leases import Holder
from cluster.stage_book import ATTEMPTS, Failure
from qpmstudy.errors import QpmStudyError
from storage.study.durations import words

EXCERPT = 12
"""Lines of a traceback that a row keeps, its last."""

WORDS = {
    Failure.LOST: "its worker or node died or fell silent",
    Failure.MEMORY: "it ran out of memory",
    Failure.LATE: "it was not done within its time limit",
}
DENIED = (MemoryError, gone.OutOfMemoryError, gone.ObjectStoreFullError, gone.OutOfDiskError)
"""The last two are of Ray's object store, and of the disk that it moves objects to."""


class StageError(QpmStudyError):
    """A stage failed for good; the message is the error's own.

    Attributes:
        excerpt: the end of its traceback; empty where the message says all, since it is ours.
    """

    def __init__(self, message: str, excerpt: str = "") -> None:
        super().__init__(message)
        self.excerpt = excerpt

    def __reduce__(self) -> tuple[type["StageError"], tuple[str, str]]:
        """Travel from the ledger to a trial with the excerpt."""
        return StageError, (str(self), self.excerpt)


class EndedError(Exception):
    """The process of a stage was ended from outside.

    Attributes:
        holder: which one.
    """

    def __init__(self, holder: Holder, why: str) -> None:
        super().__init__(f"process {holder.pid} on {holder.host} {why}")
        self.holder = holder


class SilentError(EndedError):
    """It is there, perhaps, but gave no sign of life for too long."""

    def __init__(self, holder: Holder, seconds: float) -> None:
        super().__init__(holder, f"gave no sign of life for {seconds:g} s and was killed")


class LateError(EndedError):
    """It gave signs of life, but was not done within its time limit."""

    def __init__(self, holder: Holder, seconds: float) -> None:
        limit = words(seconds)
        super().__init__(holder, f"was not done after its time limit of {limit} and was ended")


class StorageError(OSError):
    """Files that a stage reads or writes failed: nothing is known against the stage itself."""


def failure(error: Exception) -> Failure:
    """Return which kind of failure an error is, as a stage's task gives it to who waits for it."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, DENIED) or "OutOfMemory" in _names(cause):
        return Failure.MEMORY
    if isinstance(cause, OSError):
        return Failure.STORAGE
    if isinstance(cause, LateError):
        return Failure.LATE
    return Failure.LOST if isinstance(cause, gone.RayError | SilentError) else Failure.ERROR


def told(error: Exception, stage: str, why: Failure) -> StageError | StorageError:
    """Return what trials that wait for the stage are told."""
    if why is Failure.ERROR:
        return _raised(error)
    if why is Failure.STORAGE:
        return StorageError(f"the stage {stage!r} could not read or write: {last_line(error)}")
    remedy = "Launch with --retry-failed to try again"
    if why is Failure.LATE:
        remedy = (
            "If it hung, see to what it reads and to the GPU of that machine; if it needs longer, "
            f"raise stages.{stage}.time_limit in the study file, which needs no new name. Then "
            "launch with --retry-failed"
        )
    return StageError(
        f"The stage {stage!r} was given up after {ATTEMPTS[why]} attempts: {WORDS[why]}. {remedy}; "
        f"the last error: {last_line(error)}",
        _excerpt(error),
    )


def last_line(error: Exception) -> str:
    """Return the last line of an error's message, or its name if it has none."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _raised(error: Exception) -> StageError:
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, QpmStudyError):
        return StageError(str(cause).strip())
    return StageError(f"{type(cause).__name__}: {last_line(cause)}", _excerpt(error))


def _names(error: Exception) -> str:
    """Return the names of an error's classes: torch's own error of a GPU is known by its name."""
    return " ".join(kind.__name__ for kind in type(error).__mro__)


def _excerpt(error: Exception) -> str:
    return "\n".join(str(error).strip().splitlines()[-EXCERPT:])
