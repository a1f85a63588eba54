"""What a classifier is worth on the images of one split, measured batch by batch.

Stages and the evaluation of exported models share it: the same images give the same figures.

Symbols: n images of the split, b of a batch, T tokens of each (P patches, and CLS last where the
adapter reads it), D channels, F features, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16, Int64, UInt8
from torch import Tensor

from qpmstudy.classifier import Classifier
from qpmstudy.metrics import (
    PatchContextualisationMean,
    PlausibilityMean,
    SidMean,
    accuracy,
    class_independence,
    class_means,
    contrastiveness,
    dead_features,
)

BATCH = 64  # bounds the memory of feature maps


@dataclass(frozen=True)
class Measured:
    """What one pass over the images of a split leaves."""

    logits: Float[Tensor, "n C"]
    features: Float[Tensor, "n F"]
    peaks: Float[Tensor, "n F"]
    metrics: dict[str, float | None]  # `SPLIT_METRICS`; None where nothing defines one
    by_class: dict[str, Float[Tensor, " C"]]
    by_image: dict[str, Float[Tensor, " n"]]
    """Of those metrics that are means over images; NaN for an image that one is not defined for."""
    sid_left_out: int


class SplitMeter:
    """Measures a classifier on a split of n images, which it is shown in order, in batches.

    Attributes:
        batch: how many images to show at once.
    """

    def __init__(
        self,
        model: Classifier,
        labels: Int64[np.ndarray, " n"],
        grid: tuple[int, int],
        masked: bool,
        k: int,
    ) -> None:
        """Take what is known before the first batch.

        Args:
            model: in evaluation mode.
            labels: class of every image.
            grid: rows and columns of the patch grid.
            masked: whether every batch comes with object masks.
            k: of SID@k.
        """
        self.batch = min(BATCH, model.adapter.large_batch)
        self._model, self._labels, self._masked = model, labels, masked
        self._patches = math.prod(grid)
        self._plausibility = PlausibilityMean(model.weight, grid)
        self._shifted = PlausibilityMean(model.weight, grid, shifted=True)
        self._sid = SidMean(model.weight, k)
        self._contextualisation = PatchContextualisationMean()
        classes, width = model.weight.shape
        # Made before the first batch: what is kept would lie between batches, whose memory could
        # not be given back (2.6 GB instead of 1.1 GB at CUB's size).
        self._scores = torch.empty(len(labels), classes)
        self._features = torch.empty(len(labels), width)
        self._peaks = torch.empty(len(labels), width)
        self._seen = 0

    @torch.inference_mode()
    def update(
        self,
        tokens: Float[Tensor, "b T D"],
        cls: Float16[np.ndarray, "b D"],
        masks: UInt8[np.ndarray, "b P"] | None,
    ) -> None:
        """Take the next batch, its tokens on the model's device."""
        output = self._model(tokens)
        predicted = output.logits.argmax(1)
        self._contextualisation.update(tokens[:, : self._patches], cls)
        if masks is not None:
            self._plausibility.update(output.feature_maps, predicted, masks)
            self._shifted.update(output.feature_maps, predicted, masks)
        self._sid.update(output.feature_maps, predicted)
        rows = slice(self._seen, self._seen + len(tokens))
        self._scores[rows] = output.logits
        self._features[rows] = output.feature_vector
        self._peaks[rows] = output.feature_maps.amax(1)
        self._seen += len(tokens)

    @torch.inference_mode()
    def result(self) -> Measured:
        """Return what all batches, which must have been shown, come to."""
        assert self._seen == len(self._labels), "not every image was shown"
        labels, scores = self._labels, self._scores
        classes = scores.shape[1]
        hits = scores.argmax(1) == torch.from_numpy(labels)
        by_class = {"accuracy": class_means(hits, labels, classes)}
        by_image = {"accuracy": hits.float(), "sid": self._sid.values()}
        if self._masked:
            by_image["plausibility"] = shares = self._plausibility.shares()
            by_class["plausibility"] = class_means(shares, labels, classes)
        return Measured(
            logits=scores,
            features=self._features,
            peaks=self._peaks,
            metrics={
                "accuracy": accuracy(scores.argmax(1), labels),
                "plausibility": _finite(self._plausibility.value()),
                "plausibility_shifted": _finite(self._shifted.value()),
                "empty_maps": float(self._plausibility.empty) if self._masked else None,
                "sid": _finite(self._sid.value()),
                "patch_contextualisation": _finite(self._contextualisation.value()),
            },
            by_class=by_class,
            by_image=by_image,
            sid_left_out=self._sid.left_out,
        )


def training_metrics(
    measured: Measured, labels: Int64[np.ndarray, " n"]
) -> dict[str, float | None]:
    """Return `TRAINING_METRICS` of a pass over the training part."""
    return {
        "train_accuracy": measured.metrics["accuracy"],
        "train_plausibility": measured.metrics["plausibility"],
        "class_independence": _finite(class_independence(measured.features, labels)),
        "contrastiveness": _finite(contrastiveness(measured.features)),
        "dead_features": float(dead_features(measured.features)),
    }


def _finite(value: float) -> float | None:
    """Return None for a metric that nothing defines (JSON and Parquet have a word for that)."""
    return value if math.isfinite(value) else None
