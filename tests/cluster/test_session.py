"""A local cluster that does not come up."""

from pathlib import Path

import pytest

from cluster.session import ray_session
from qpmstudy.errors import WorkerError


def test_ray_that_cannot_start_is_told_with_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("no folder")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(taken))
    said = r"Ray does not start on this machine: .*Not a directory.*taken/ray.*again"
    with pytest.raises(WorkerError, match=said), ray_session(verbose=False):
        pytest.fail("it started")
