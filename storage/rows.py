"""From stored stages to the columns of a result row."""

import statistics
from collections.abc import Mapping
from typing import Any

from qpmstudy.columns import PROOF, SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.errors import DataError
from qpmstudy.stage_graph import last_stage
from storage.artifacts import ArtifactStore


def stage_columns(artifacts: ArtifactStore, keys: Mapping[str, str], split: str) -> dict[str, Any]:
    """Return metrics of both phases, compactness, certificate and devices of one run.

    Where nothing is selected the dense model is the final one, and its metrics stand under both
    names. The certificate's columns ("qp_...") are None where the method has none.

    Args:
        artifacts: where the stages are.
        keys: key of every stage that the run has.
        split: the split whose metrics carry bare names ("validation" or "test").

    Raises:
        DataError: a stage is missing, or the dataset has no such split.
    """
    measured = last_stage(keys)
    trained = "finetune" if "finetune" in keys else "dense"
    final: Mapping[str, Any] = artifacts.facts(measured, keys[measured])
    dense = artifacts.facts("evaluate_dense", keys["evaluate_dense"])
    epochs: Any = artifacts.facts(trained, keys[trained])["history"]
    select = artifacts.facts("select", keys["select"]) if "select" in keys else {}
    return {
        **metric_columns_of(final, split),
        **{f"dense_{name}": value for name, value in metric_columns_of(dense, split).items()},
        **final["compactness"],
        "seconds_per_epoch": statistics.median(epoch["seconds"] for epoch in epochs),
        **{f"qp_{name}": select.get(name) for name in PROOF},
        **{f"device.{stage}": _device(artifacts, stage, key) for stage, key in keys.items()},
        "weights": final["backbone"]["weight_hash"],
    }


def _device(artifacts: ArtifactStore, stage: str, key: str) -> Any:
    """Return what a stage was computed on, whenever that was."""
    return (artifacts.peek(stage, key) or {}).get("device")


def metric_columns_of(facts: Mapping[str, Any], split: str) -> dict[str, float | None]:
    """Return the metrics that an evaluation is stored with, by the columns of a row.

    Raises:
        DataError: it has no such split.
    """
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
