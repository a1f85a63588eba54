"""Predictions of an exported model, with the evidence that adds up to them.

B images, T tokens of each (P patches, and CLS last where the adapter reads it), D channels,
C classes, F features of the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.preprocessing import seen_pixels
from qpmstudy.classifier import Classifier
from qpmstudy.datasets.pictures import NAME_ANOTHER, read_rgb
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

    def difference(self, label: int, other: int) -> Float[Tensor, " F"]:
        """Return by how much each feature favours a class over another.

        With the difference of their biases it adds up to the difference of their logits.
        """
        return self.contributions[label] - self.contributions[other]


@dataclass(frozen=True)
class TokenModel:
    """A sparse classifier and what its features and classes are called: tokens in, evidence out."""

    classifier: Classifier
    class_names: tuple[str, ...]
    grid: tuple[int, int]
    peak: Float[Tensor, " F"]  # scale to draw each feature's map against
    selected: tuple[int, ...]  # the features' numbers in the dense model
    record: Mapping[str, Any]  # model.json

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """Which part of a picture the model sees (`Backbone.preprocessing`)."""
        found: Mapping[str, object] = self.record["backbone"]["preprocessing"]
        return found

    @torch.inference_mode()
    def predict_tokens(self, tokens: Float[Tensor, "B T D"]) -> list[Prediction]:
        """Return the prediction for each image, on the CPU; computed where the classifier is."""
        head = self.classifier.head
        assert isinstance(head, SparseHead)
        weight = head.weight
        output = self.classifier(tokens.to(weight.device))
        # The head is linear: the contribution of a feature is its own term of the sum.
        scores = head.standardised(output.feature_vector).unsqueeze(1)
        shared = torch.zeros_like(weight[:, 0]) if head.bias is None else head.bias
        logits, maps = output.logits.cpu(), output.feature_maps.cpu()
        contributions, bias, mask = (weight * scores).cpu(), shared.cpu(), (weight != 0).cpu()
        return [
            Prediction(logits[i], logits[i].softmax(0), contributions[i], bias, maps[i], mask)
            for i in range(len(tokens))
        ]


@dataclass(frozen=True)
class InterpretableModel(TokenModel):
    """A classifier with the backbone it was trained on, ready for images."""

    backbone: Backbone

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """Which part of a picture the backbone sees."""
        return self.backbone.preprocessing

    def predict(self, image: Image.Image | Path | str) -> Prediction:
        """Return the prediction for one image of any size and mode, or for the file of one.

        Raises:
            DataError: the file is missing or is not a picture that can be decoded.
        """
        return self.predict_all([image])[0]

    def predict_all(self, images: Sequence[Image.Image | Path | str]) -> list[Prediction]:
        """Return the predictions for some images, which all pass the backbone at once.

        Raises:
            DataError: a file is missing or is not a picture that can be decoded.
        """
        pictures = [
            i if isinstance(i, Image.Image) else read_rgb(Path(i), NAME_ANOTHER) for i in images
        ]
        if not pictures:
            return []
        return self.predict_pixels(
            torch.stack([seen_pixels(picture, self.preprocessing) for picture in pictures])
        )

    def predict_pixels(self, pixels: UInt8[Tensor, "B 3 side side"]) -> list[Prediction]:
        """Return the predictions for the `seen_pixels` of some images."""
        return self.predict_tokens(self.tokens(pixels))

    def tokens(self, pixels: UInt8[Tensor, "B 3 side side"]) -> Float[Tensor, "B T D"]:
        """Return what the classifier reads of the `seen_pixels` of some images, on the CPU.

        Tokens are rounded to half precision, as the store the model was trained and evaluated
        on holds them: probabilities equal those of the evaluation.
        """
        tokens, cls = self.backbone.embed(self.backbone.normalised(pixels))
        if self.classifier.adapter.reads_cls:
            tokens = torch.cat([tokens, cls.unsqueeze(1)], dim=1)
        return tokens.half().float()
