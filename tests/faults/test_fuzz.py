"""A few kills at random moments; `python -m tests.faults.fuzz` does as many as one likes."""

import os
import random
from pathlib import Path

import pytest

from tests.faults.family import adopting
from tests.faults.fuzz import fuzz

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 3


def test_kills_at_random_moments_lose_nothing_and_have_nothing_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    seed = random.SystemRandom().randrange(10_000)
    print(f"to repeat it: python -m tests.faults.fuzz --kills {KILLS} --seed {seed}")
    with adopting():
        found = fuzz(KILLS, seed, tmp_path, trials=2)
    assert found.problems == []
    assert found.kills.total() == KILLS
    assert found.seen["rows"] >= 4
