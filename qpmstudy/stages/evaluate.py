"""Evaluation: what a classifier is worth on every split, and what explanations of it need.

Accuracy, Plausibility, SID@k and Patch Contextualisation are measured on each held-out split by
itself; Class-Independence and Contrastiveness describe the features over the training part,
as the paper defines them (sections 5.1 and 8). Plausibility is there on the training part too:
the paper's text says so, its code takes the test split.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from qpmstudy.batches import LabelledTokens
from qpmstudy.classifier import Classifier
from qpmstudy.embeddings import Embeddings
from qpmstudy.measuring import Measured, SplitMeter, training_metrics
from qpmstudy.metrics import compactness
from qpmstudy.stages.base import StageContext, StageOutput, device

OVERLAY_IMAGES = 3
# A feature's map is drawn against this quantile of its peak over the training images.
PEAK_QUANTILE = 0.95
QUANTILE_NUMBERS = 2**24  # more at once torch refuses


def evaluate(context: StageContext) -> StageOutput:
    """Measure the classifier of the only input on every split.

    Returns:
        Tensors: "logits.<split>" (n, C) with "index.<split>" (n,), positions in the store, of
        every split; "class_accuracy.<split>" and, with masks, "class_plausibility.<split>" (C,),
        NaN for a class without images; "peak" (F,), the scale to draw each feature's map
        against; "overlay.maps" (m, P, F), "overlay.predicted" and "overlay.index" (m,) of a few
        validation or test images; "weight" (C, F) of the head, and "selected" (F,), the features'
        numbers in the dense model.
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
    metrics["train"] = training_metrics(training, labels)
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
            **_origin(embeddings),
        },
    )


def _origin(embeddings: Embeddings) -> dict[str, object]:
    """Return what an exported model must know of dataset and backbone."""
    return {
        "class_names": list(embeddings.class_names),
        "dataset": embeddings.dataset,
        "backbone": {
            "name": embeddings.backbone,
            "weight_hash": embeddings.weight_hash,
            "grid": list(embeddings.grid),
            "preprocessing": dict(embeddings.preprocessing),
        },
    }


def _measure(model: Classifier, data: LabelledTokens, k: int) -> Measured:
    """Pass over the images in batches; feature maps of all of them are never in memory."""
    embeddings = data.embeddings
    masks, labels = embeddings.masks, embeddings.labels[data.index]
    meter = SplitMeter(model, labels, embeddings.grid, masks is not None, k)
    batches = data.batches(meter.batch, device(), model.adapter.reads_cls)
    for start, (tokens, _) in zip(range(0, len(data), meter.batch), batches, strict=True):
        images = data.index[start : start + meter.batch]
        meter.update(tokens, embeddings.cls[images], None if masks is None else masks[images])
    return meter.result()


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
