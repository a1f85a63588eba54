"""Images that a model was shown, of which some are to be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from qpmstudy.errors import DataError
from qpmstudy.explain.drawing import Drawing, Shown
from qpmstudy.explain.seen import Seen
from qpmstudy.heads import SparseHead
from storage.evaluation import ModelMeter, measured_together
from storage.model_images import ModelImages


class Example(NamedTuple):
    """An image to be drawn, and its tokens (T, D) as the adapter reads them."""

    shown: Shown
    tokens: Float[Tensor, "T D"]


@dataclass(frozen=True)
class Gallery:
    """All images of a split, and what the model made of each."""

    images: ModelImages
    seen: Seen

    def examples(self, positions: Sequence[int]) -> list[Example]:
        """Return some images, in that order, with their pictures and feature maps.

        Raises:
            DataError: a picture or its tokens cannot be read.
        """
        index = np.unique(np.asarray(positions, dtype=np.int64))
        found: dict[int, Example] = {}
        waiting = iter(index.tolist())
        for batch in self.images.tokens(index):
            tokens = batch.tokens(self.images.model.classifier.adapter.reads_cls)
            for one in torch.from_numpy(tokens).float():
                position = next(waiting)
                found[position] = Example(self._shown(position, one), one)
        return [found[position] for position in positions]

    def shown(self, positions: Sequence[int]) -> list[Shown]:
        """Return the same without tokens."""
        return [example.shown for example in self.examples(positions)]

    def _shown(self, position: int, tokens: Float[Tensor, "T D"]) -> Shown:
        (prediction,) = self.images.model.predict_tokens(tokens[None])
        try:
            picture = self.images.picture(position)
        except DataError as error:
            raise DataError(
                f"{error} If the images lie elsewhere now, say where: --data FOLDER."
            ) from error
        drawing = Drawing(self.images.model, picture, prediction)
        return Shown(self.images.ids[position], int(self.images.labels[position]), drawing)


def gallery(images: ModelImages) -> Gallery:
    """Return images after showing all of them to their model."""
    (measured,) = measured_together([ModelMeter(images)], images.batches())
    head = images.model.classifier.head
    assert isinstance(head, SparseHead)
    peak = images.model.peak.cpu().clamp(1e-12)
    with torch.inference_mode():
        scores = head.standardised(measured.features.to(head.mean.device)).cpu()
    seen = Seen(
        labels=images.labels,
        probabilities=measured.logits.softmax(1).numpy(),
        scores=scores.numpy(),
        strength=(measured.peaks / peak).numpy(),
    )
    return Gallery(images, seen)
