"""Parts of model.json that follow from stored stages and rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qpmstudy.columns import CERTIFICATE, range_of
from qpmstudy.intervals import mean_interval, share_interval
from qpmstudy.stages import StageOutput
from storage.model_card import METRICS_SHOWN
from storage.results import Row


def classes(evaluated: StageOutput, selection: StageOutput) -> dict[str, Any]:
    """Return what classes and features there are, and the certificate of their selection."""
    facts: Mapping[str, Any] = evaluated.facts
    selected = selection.tensors["selected"].tolist()
    names: list[str] = facts["class_names"]
    proven = selection.facts["solver"] is not None
    return {
        "class_names": names,
        "selected": selected,
        "classes": {
            name: [selected[column] for column in weights.nonzero().flatten().tolist()]
            for name, weights in zip(names, evaluated.tensors["weight"], strict=True)
        },
        "certificate": {name: selection.facts[name] for name in CERTIFICATE} if proven else None,
    }


def measured(evaluated: StageOutput) -> dict[str, Any]:
    """Return data, metrics by split, and the intervals of accuracy over each split's images."""
    facts: Mapping[str, Any] = evaluated.facts
    metrics: dict[str, dict[str, float | None]] = facts["metrics"]
    images = {split: len(evaluated.tensors[f"index.{split}"]) for split in metrics}
    intervals = {}
    for split, count in images.items():
        accuracy = metrics[split]["train_accuracy" if split == "train" else "accuracy"]
        assert accuracy is not None
        found = share_interval(round(accuracy * count), count)
        intervals[split] = {"accuracy": [found.low, found.high]}
    return {
        "dataset": facts["dataset"],
        "backbone": facts["backbone"],
        "images": images,
        "metrics": metrics,
        "intervals": intervals,
        "compactness": facts["compactness"],
        "sid_k": facts["sid_k"],
    }


def over_seeds(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return mean and interval over a configuration's seeds, by column of its rows."""
    found = {}
    for name in (*METRICS_SHOWN, *(f"test_{metric}" for metric in METRICS_SHOWN)):
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            mean = mean_interval(values, range_of(name, values))
            low, high = (None if math.isnan(end) else end for end in (mean.low, mean.high))
            found[name] = {"seeds": len(values), "value": mean.value, "low": low, "high": high}
    return found
