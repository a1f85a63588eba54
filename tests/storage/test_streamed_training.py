"""A store of three times the allowed memory trains, and memory stays within what is allowed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from random_store import random_store

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "streamed_training.py"
MEBIBYTE = 2**20


@pytest.mark.slow
def test_memory_stays_within_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "noise" / "noise"
    store = random_store(path, images=512, side=16, dim=768)
    allowed = store.patches.nbytes // 3
    done = subprocess.run(
        [sys.executable, SCRIPT, path, str(allowed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # or tests/storage would be the storage
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    peak, window, loss = done.stdout.split()
    print(
        f"store {store.patches.nbytes / MEBIBYTE:.0f} MiB, allowed {allowed / MEBIBYTE:.0f} MiB, "
        f"window {window} chunks, peak {int(peak) / MEBIBYTE:.1f} MiB, loss {loss}"
    )
    assert int(peak) < allowed
