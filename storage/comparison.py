"""Two exported models on the same images: which is better, how surely, and where they differ.

n images of the comparison.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from qpmstudy.errors import DataError
from qpmstudy.intervals import McNemar, PairedDifference, mcnemar, paired_difference
from qpmstudy.measuring import Measured
from storage.evaluation import ModelMeter, measured_together
from storage.model_images import ModelImages

METRICS = ("accuracy", "plausibility", "sid")
"""Those of a split's metrics that are means over images, which pairs can be made of."""


@dataclass(frozen=True)
class Said:
    """What a model says of an image."""

    name: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Disagreement:
    """An image that two models call differently; `position` is its place in the comparison."""

    position: int
    image: str
    true: str
    first: Said
    second: Said


@dataclass(frozen=True)
class Comparison:
    """Two models on the same n images.

    Attributes:
        models: their folders.
        dataset: name of the dataset, or the folder that was given instead.
        split: which of its images.
        images: n.
        sources: where the tokens of each come from, in words.
        left_out: how many images of the split only one of the models could be shown.
        metrics: how the second differs from the first; None where nothing defines a metric.
        sid_k: of each one's SID@k.
        right: McNemar's test of which images they get right.
        both_right: how many both do.
        neither_right: how many neither does.
        disagreements: the images that they call differently; first those that one gets right.
        chosen_on: the models whose configuration was chosen by these very images.
    """

    models: tuple[Path, Path]
    dataset: str
    split: str
    images: int
    sources: tuple[str, str]
    left_out: int
    metrics: Mapping[str, PairedDifference | None]
    sid_k: tuple[int, int]
    right: McNemar
    both_right: int
    neither_right: int
    disagreements: Sequence[Disagreement]
    chosen_on: Sequence[Path]


def in_common(first: ModelImages, second: ModelImages) -> tuple[ModelImages, ModelImages, int]:
    """Return both with the images that both have, and how many only one has.

    Raises:
        DataError: there are none, or the same image is of different classes.
    """
    others = set(second.ids)
    shared = [name for name in first.ids if name in others]
    if not shared:
        raise DataError(
            f"{first.model.folder} and {second.model.folder} have none of {first.words} in common "
            f"({first.source}; {second.source}): compare them on images that neither was trained "
            "on, --split test or --data FOLDER."
        )
    left_out = len(first) + len(second) - 2 * len(shared)
    one, other = first.only(shared), second.only(shared)
    for name, mine, theirs in zip(shared, _true(one), _true(other), strict=True):
        if mine != theirs:
            raise DataError(
                f"The image {name} is {mine!r} in {first.source}, but {theirs!r} in "
                f"{second.source}: the datasets differ; embed one of them again."
            )
    return one, other, left_out


def compare(first: ModelImages, second: ModelImages, left_out: int, seed: int = 0) -> Comparison:
    """Measure two models on the same images (`in_common`).

    Models on the same backbone are shown the same tokens, which are read or embedded once.

    Args:
        first: the one, with the images.
        second: the other.
        left_out: how many images only one of them has.
        seed: of the bootstrap.
    """
    meters = ModelMeter(first), ModelMeter(second)
    if _same_tokens(first, second):
        one, other = measured_together([*meters], first.batches())
    else:
        (one,) = measured_together([meters[0]], first.batches())
        (other,) = measured_together([meters[1]], second.batches())
    right = _right(first, one), _right(second, other)
    return Comparison(
        models=(first.model.folder, second.model.folder),
        dataset=first.dataset,
        split=first.split,
        images=len(first),
        sources=(first.source, second.source),
        left_out=left_out,
        metrics={
            name: _difference(one.by_image.get(name), other.by_image.get(name), seed)
            for name in METRICS
        },
        sid_k=(first.model.record["sid_k"], second.model.record["sid_k"]),
        right=mcnemar(*right),
        both_right=int((right[0] & right[1]).sum()),
        neither_right=int((~right[0] & ~right[1]).sum()),
        disagreements=_disagreements(first, second, one, other),
        chosen_on=[images.model.folder for images in (first, second) if images.chosen_on],
    )


def _same_tokens(first: ModelImages, second: ModelImages) -> bool:
    one, other = (images.model.record["backbone"] for images in (first, second))
    return bool(one["name"] == other["name"] and one["weight_hash"] == other["weight_hash"])


def _true(images: ModelImages) -> list[str]:
    return [images.model.class_names[label] for label in images.labels]


def _right(images: ModelImages, measured: Measured) -> Bool[np.ndarray, " n"]:
    right: np.ndarray = measured.logits.argmax(1).numpy() == images.labels
    return right


def _difference(
    first: Float[Tensor, " n"] | None, second: Float[Tensor, " n"] | None, seed: int
) -> PairedDifference | None:
    if first is None or second is None:
        return None
    return paired_difference(first.numpy(), second.numpy(), seed)


def _disagreements(
    first: ModelImages, second: ModelImages, one: Measured, other: Measured
) -> list[Disagreement]:
    true = _true(first)
    said = [_said(first, one, true), _said(second, other, true)]
    found = [
        Disagreement(position, name, true[position], mine, theirs)
        for position, (name, mine, theirs) in enumerate(zip(first.ids, *said, strict=True))
        if mine.name != theirs.name
    ]
    return sorted(found, key=lambda d: not (d.first.right or d.second.right))


def _said(images: ModelImages, measured: Measured, true: Sequence[str]) -> list[Said]:
    shares, labels = measured.logits.softmax(1).max(1)
    names = [images.model.class_names[label] for label in labels.tolist()]
    return [
        Said(name, share, name == truth)
        for name, share, truth in zip(names, shares.tolist(), true, strict=True)
    ]
