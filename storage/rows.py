"""From stored stages to the columns of a result row."""

from collections.abc import Mapping
from typing import Any

from qpmstudy.errors import DataError
from qpmstudy.stages.evaluate import SPLIT_METRICS, TRAINING_METRICS
from storage.artifacts import ArtifactStore


def stage_columns(artifacts: ArtifactStore, keys: Mapping[str, str], split: str) -> dict[str, Any]:
    """Return metrics of both phases and the selection's certificate of one pipeline run.

    The certificate's columns ("qp_...") are None where the method has none.

    Args:
        artifacts: where the stages are.
        keys: key of every stage.
        split: the split whose metrics carry bare names ("validation" or "test").

    Raises:
        DataError: a stage is missing, or the dataset has no such split.
    """
    final = artifacts.facts("evaluate", keys["evaluate"])
    dense = artifacts.facts("evaluate_dense", keys["evaluate_dense"])
    select = artifacts.facts("select", keys["select"])
    return {
        **_metric_columns(final, split),
        **{f"dense_{name}": value for name, value in _metric_columns(dense, split).items()},
        "qp_solver": select["solver"],
        "qp_status": select["status"],
        "qp_objective": select["objective"],
        "qp_bound": select["bound"],
        "qp_gap": select["gap"],
        "qp_fallback": select["fallback"],
    }


def _metric_columns(facts: Mapping[str, Any], split: str) -> dict[str, float | None]:
    metrics: dict[str, dict[str, float | None]] = facts["metrics"]
    if split not in metrics:
        raise DataError(
            f"The study measures on the split {split!r}, but the embeddings have only "
            f"{', '.join(sorted(metrics))}."
        )
    columns = {name: metrics[split][name] for name in SPLIT_METRICS}
    columns |= {name: metrics["train"][name] for name in TRAINING_METRICS}
    for name, values in metrics.items():
        if name not in ("train", "validation"):
            columns |= {f"{name}_{metric}": values[metric] for metric in SPLIT_METRICS}
    return columns
