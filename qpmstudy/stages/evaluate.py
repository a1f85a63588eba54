"""Evaluation: what a classifier is worth on every split, and what explanations of it need.

Accuracy, Plausibility, SID@k and Patch Contextualisation are measured on each held-out split by
itself; Class-Independence and Contrastiveness describe the features over the training part,
as the paper defines them (sections 5.1 and 8). Plausibility is there on the training part too:
the paper's text says so, its code takes the test split.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from qpmstudy.batches import LabelledTokens
from qpmstudy.classifier import Classifier
from qpmstudy.metrics import (
    PatchContextualisationMean,
    PlausibilityMean,
    SidMean,
    accuracy,
    class_independence,
    class_means,
    compactness,
    contrastiveness,
    dead_features,
)
from qpmstudy.stages.base import StageContext, StageOutput, device

SPLIT_METRICS = (
    *("accuracy", "plausibility", "plausibility_shifted", "empty_maps", "sid"),
    "patch_contextualisation",
)
TRAINING_METRICS = (
    *("train_accuracy", "train_plausibility", "class_independence", "contrastiveness"),
    "dead_features",
)

BATCH = 64  # bounds the memory of feature maps
OVERLAY_IMAGES = 3
# A feature's map is drawn against this quantile of its peak over the training images.
PEAK_QUANTILE = 0.95
QUANTILE_NUMBERS = 2**24  # more at once torch refuses


@dataclass(frozen=True)
class _Pass:
    """What one pass over some images leaves."""

    logits: Float[Tensor, "n C"]
    features: Float[Tensor, "n F"]
    peaks: Float[Tensor, "n F"]
    metrics: dict[str, float | None]
    by_class: dict[str, Float[Tensor, " C"]]
    sid_left_out: int


def evaluate(context: StageContext) -> StageOutput:
    """Measure the classifier of the only input on every split.

    Returns:
        Tensors: "logits.<split>" (n, C) with "index.<split>" (n,), positions in the store, of
        every split; "class_accuracy.<split>" and, with masks, "class_plausibility.<split>" (C,),
        NaN for a class without images; "peak" (F,), the scale to draw each feature's map
        against; "overlay.maps" (m, P, F) and "overlay.index" (m,) of a few validation or test
        images.
        Facts: "metrics" by split, None where the dataset has nothing to measure them with;
        "compactness"; "sid_k", at most the features of a class on average, with
        "sid_left_out", the images by split whose predicted class has fewer; and what an exported
        model must know of dataset and backbone.
    """
    (source,) = context.inputs.values()
    model = source.classifier().to(device())
    embeddings = context.embeddings
    mean_used = int((model.weight != 0).sum()) // len(model.weight)
    k = max(1, min(context.config.evaluate.sid_k, mean_used))
    parts = {"train": context.part("train"), "validation": context.part("validation")}
    for split in embeddings.held_out_splits():
        parts[split] = LabelledTokens(embeddings, embeddings.indices(split))
    parts = {name: part for name, part in parts.items() if len(part)}
    passes = {name: _measure(model, part, k) for name, part in parts.items()}
    training, labels = passes["train"], embeddings.labels[parts["train"].index]
    metrics: dict[str, dict[str, float | None]] = {
        name: result.metrics for name, result in passes.items() if name != "train"
    }
    metrics["train"] = {
        "train_accuracy": training.metrics["accuracy"],
        "train_plausibility": training.metrics["plausibility"],
        "class_independence": _finite(class_independence(training.features, labels)),
        "contrastiveness": _finite(contrastiveness(training.features)),
        "dead_features": float(dead_features(training.features)),
    }
    shown = _spread_over(
        parts.get("validation") or parts.get("test") or parts["train"], OVERLAY_IMAGES
    )
    maps, predicted = _feature_maps(model, shown)
    return StageOutput(
        tensors={
            **{f"logits.{name}": result.logits for name, result in passes.items()},
            **{f"index.{name}": torch.from_numpy(part.index) for name, part in parts.items()},
            **{
                f"class_{metric}.{name}": values
                for name, result in passes.items()
                for metric, values in result.by_class.items()
            },
            "peak": _quantile(training.peaks, PEAK_QUANTILE),
            "overlay.maps": maps,
            "overlay.predicted": predicted,
            "overlay.index": torch.from_numpy(shown.index),
            "weight": model.weight.detach().cpu(),
            "selected": source.tensors.get("selected", torch.arange(model.weight.shape[1])),
        },
        facts={
            "metrics": metrics,
            "compactness": compactness(model),
            "sid_k": k,
            "sid_left_out": {name: result.sid_left_out for name, result in passes.items()},
            "overlay_ids": [embeddings.ids[i] for i in shown.index],
            "overlay_labels": embeddings.labels[shown.index].tolist(),
            "class_names": list(embeddings.class_names),
            "dataset": embeddings.dataset,
            "backbone": {
                "name": embeddings.backbone,
                "weight_hash": embeddings.weight_hash,
                "grid": list(embeddings.grid),
                "preprocessing": dict(embeddings.preprocessing),
            },
        },
    )


@torch.inference_mode()
def _measure(model: Classifier, data: LabelledTokens, k: int) -> _Pass:
    """Pass over the images in batches; feature maps of all of them are never in memory."""
    embeddings = data.embeddings
    plausibility = PlausibilityMean(model.weight, embeddings.grid)
    shifted = PlausibilityMean(model.weight, embeddings.grid, shifted=True)
    sid = SidMean(model.weight, k)
    contextualisation = PatchContextualisationMean()
    classes, width = model.weight.shape
    # Made before the loop: what is kept would lie between batches, whose memory could not be
    # given back (2.6 GB instead of 1.1 GB at CUB's size).
    scores = torch.empty(len(data), classes)
    features, peaks = torch.empty(len(data), width), torch.empty(len(data), width)
    size = min(BATCH, model.adapter.large_batch)
    for start in range(0, len(data), size):
        positions = np.arange(start, min(start + size, len(data)))
        images = data.index[positions]
        tokens, _ = data.batch(positions, device(), model.adapter.reads_cls)
        output = model(tokens)
        predicted = output.logits.argmax(1)
        contextualisation.update(tokens[:, : math.prod(embeddings.grid)], embeddings.cls[images])
        if embeddings.masks is not None:
            masks = embeddings.masks[images]
            plausibility.update(output.feature_maps, predicted, masks)
            shifted.update(output.feature_maps, predicted, masks)
        sid.update(output.feature_maps, predicted)
        rows = slice(start, start + len(images))
        scores[rows] = output.logits
        features[rows] = output.feature_vector
        peaks[rows] = output.feature_maps.amax(1)
    labels = embeddings.labels[data.index]
    hits = scores.argmax(1) == torch.from_numpy(labels)
    by_class = {"accuracy": class_means(hits, labels, scores.shape[1])}
    if embeddings.masks is not None:
        by_class["plausibility"] = class_means(plausibility.shares(), labels, scores.shape[1])
    return _Pass(
        logits=scores,
        features=features,
        peaks=peaks,
        metrics={
            "accuracy": accuracy(scores.argmax(1), labels),
            "plausibility": _finite(plausibility.value()),
            "plausibility_shifted": _finite(shifted.value()),
            "empty_maps": None if embeddings.masks is None else float(plausibility.empty),
            "sid": _finite(sid.value()),
            "patch_contextualisation": _finite(contextualisation.value()),
        },
        by_class=by_class,
        sid_left_out=sid.left_out,
    )


@torch.inference_mode()
def _feature_maps(
    model: Classifier, data: LabelledTokens
) -> tuple[Float[Tensor, "m P F"], Int64[Tensor, " m"]]:
    tokens, _ = data.batch(np.arange(len(data)), device(), model.adapter.reads_cls)
    output = model(tokens)
    return output.feature_maps.cpu(), output.logits.argmax(1).cpu()


def _spread_over(data: LabelledTokens, count: int) -> LabelledTokens:
    """Return `count` images, evenly spaced, hence of different classes."""
    spaced: Int64[np.ndarray, " m"] = np.linspace(0, len(data) - 1, count + 2)[1:-1].astype(int)
    return LabelledTokens(data.embeddings, data.index[np.unique(spaced)])


def _quantile(values: Float[Tensor, "n F"], share: float) -> Float[Tensor, " F"]:
    columns = max(1, QUANTILE_NUMBERS // len(values))
    return torch.cat([part.quantile(share, dim=0) for part in values.split(columns, dim=1)])


def _finite(value: float) -> float | None:
    """Return None for a metric that nothing defines (JSON and Parquet have a word for that)."""
    return value if math.isfinite(value) else None
