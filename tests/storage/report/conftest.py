"""Reports of studies that were run, and of larger ones that have their results."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from storage.analysis import ParetoResult, StudyResults, pareto_result
from storage.layout import StorageRoot
from storage.report import Limits, report_data
from storage.study import parse_study

IMPORTANCE = {
    "study": "made",
    "shares": {
        "accuracy": {"adapter.depth": 0.75, "finetune.l1_fm": 0.25},
        "front": {"adapter.depth": 0.0, "finetune.l1_fm": 1.0},
    },
    "configurations": 30,
    "best": 5,
    "constant": (),
    "notes": ("rough",),
}
FINDINGS = [{"level": "warning", "text": "the best l1_fm lies at the upper bound of its range"}]


@pytest.fixture(scope="session")
def made(finished: Any) -> Callable[..., ParetoResult]:
    """A study of so many configurations: other values and metrics, results that are there."""
    stored = finished.root.study("tiny").results.rows()

    def make(count: int, **changes: Any) -> ParetoResult:
        content = {
            "name": "made",
            "description": "Made up",
            "space": {
                "adapter.depth": {"values": [2, 4]},
                "finetune.l1_fm": {"low": 0, "high": 8},
            },
            "sampler": "random",
            "trials": count,
            "seeds": 2,
        }
        spec = parse_study(content | changes, "made.yaml")
        rng, rows = np.random.default_rng(0), []
        for trial in range(count):
            l1 = 8 * trial / max(count - 1, 1)
            for seed in range(spec.seeds.max):
                noise = rng.uniform(-0.02, 0.02, 2)
                rows.append(stored[seed] | {
                    "study": "made",
                    "trial": trial,
                    "seed": seed,
                    "adapter.depth": 2 + 2 * (trial % 2),
                    "finetune.l1_fm": l1,
                    "accuracy": 0.8 - l1 / 20 + noise[0],
                    "plausibility": 0.5 + l1 / 20 - (trial % 2) / 5 + noise[1],
                    **{f"reused.{stage}": trial > 0 for stage in ("dense", "select")},
                    **{f"seconds.{stage}": 2.0 for stage in ("dense", "select", "finetune")},
                    "command": "python cli.py study launch made.yaml",
                })  # fmt: skip
        return pareto_result([StudyResults(spec, rows)])

    return make


@pytest.fixture(scope="session")
def told(finished: Any) -> Callable[..., dict[str, Any]]:
    """What a page shows of a result whose stages are those of the finished study."""

    def tell(result: ParetoResult, root: StorageRoot | None = None, **limits: Any) -> Any:
        where = root or finished.root
        return report_data(where, result, IMPORTANCE, FINDINGS, True, Limits(**limits))

    return tell
