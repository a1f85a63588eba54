"""Predictions of an exported model, with the evidence that adds up to them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from qpmstudy.backbones.base import Backbone
from qpmstudy.classifier import Classifier
from qpmstudy.heads import SparseHead


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image: a logit is its bias and its row of contributions, summed.

    Symbols: C classes, F features of the model, P patches.
    """

    logits: Float[Tensor, " C"]
    probabilities: Float[Tensor, " C"]
    contributions: Float[Tensor, "C F"]  # of each feature to each logit
    bias: Float[Tensor, " C"]  # what each logit is before any feature; 0 for QPM
    feature_maps: Float[Tensor, "P F"]
    mask: Bool[Tensor, "C F"]  # the features each class uses

    def top(self, count: int) -> list[int]:
        """Return the `count` most probable classes, best first."""
        order: list[int] = self.probabilities.argsort(descending=True)[:count].tolist()
        return order

    def used(self, label: int) -> list[int]:
        """Return the features that a class uses, largest contribution first."""
        used = self.mask[label].nonzero().flatten()
        order = self.contributions[label, used].argsort(descending=True)
        features: list[int] = used[order].tolist()
        return features


@dataclass(frozen=True)
class InterpretableModel:
    """A classifier with the backbone it was trained on, ready for images."""

    classifier: Classifier
    backbone: Backbone
    class_names: tuple[str, ...]
    grid: tuple[int, int]
    peak: Float[Tensor, " F"]  # scale to draw each feature's map against
    selected: tuple[int, ...]  # the features' numbers in the dense model
    record: Mapping[str, object]  # everything else in model.json

    @torch.inference_mode()
    def predict(self, image: Image.Image) -> Prediction:
        """Return the prediction for one image of any size and mode.

        Tokens are rounded to half precision first, as the store the model was trained and
        evaluated on holds them: probabilities equal those of the evaluation.
        """
        tokens, cls = self.backbone.embed(self.backbone.preprocess(image)[None])
        if self.classifier.adapter.reads_cls:
            tokens = torch.cat([tokens, cls.unsqueeze(1)], dim=1)
        output = self.classifier(tokens.half().float())
        head = self.classifier.head
        assert isinstance(head, SparseHead)
        vector = output.feature_vector[0]
        # The head is linear: the contribution of a feature is its own term of the sum.
        contributions = self.classifier.weight * head.standardised(vector)
        return Prediction(
            logits=output.logits[0],
            probabilities=output.logits[0].softmax(0),
            contributions=contributions,
            bias=torch.zeros_like(output.logits[0]) if head.bias is None else head.bias,
            feature_maps=output.feature_maps[0],
            mask=self.classifier.weight != 0,
        )
