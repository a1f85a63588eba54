"""Evaluation in bounded memory, in a process of its own whose peak is nobody else's."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def measured(images: int) -> dict[str, float]:
    """Return the sizes in MiB that the benchmark prints."""
    sizes = {"images": images, "side": 8, "dim": 16, "features": 64, "classes": 20}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    command = [sys.executable, str(ROOT / "tests/benchmarks/evaluate/memory.py"), *options]
    answer = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def test_maps_of_all_images_are_never_in_memory_at_once() -> None:
    few, many = measured(1000), measured(12_000)
    assert many["all_maps"] > 180
    growth = (many["peak"] - many["before"]) - (few["peak"] - few["before"])
    assert growth < many["all_maps"] / 2
