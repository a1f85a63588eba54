"""Explanations of a whole model: a class, two classes, a feature, its mistakes.

Each chooses the images that are worth seeing; what is drawn of them is in qpmstudy/explain/.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from qpmstudy.classifier import Classifier
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.explain.class_page import class_page
from qpmstudy.explain.failure_page import DenseView, Failure, failure_page
from qpmstudy.explain.feature_page import feature_page
from qpmstudy.explain.page import Page
from qpmstudy.inference import TokenModel
from qpmstudy.metrics.plausibility import weighted_maps
from qpmstudy.report import find_class
from storage.gallery import Gallery

EACH = 2
"""How many of a feature's strongest images may be of one class."""


def numbered_class(model: TokenModel, wanted: str) -> int:
    """Return the class that a person means by its name, a part of it, or its number from 1.

    Raises:
        ConfigError: there is no such class, or several.
    """
    names = model.class_names
    if wanted in names or not wanted.isdecimal():
        return find_class(model, wanted)
    number = int(wanted)
    if not 1 <= number <= len(names):
        raise ConfigError(
            f"The model has {len(names)} classes, numbered from 1: there is no number {number}."
        )
    return number - 1


def numbered_feature(model: TokenModel, number: int) -> int:
    """Return the column of the feature that has this number in the dense model.

    Raises:
        ConfigError: the model did not select it.
    """
    if number not in model.selected:
        raise ConfigError(
            f"Feature {number} is none of the {len(model.selected)} that the model selected: "
            f"{', '.join(map(str, model.selected))}."
        )
    return model.selected.index(number)


def explain_classes(gallery: Gallery, classes: list[int], count: int) -> Page:
    """Return the page of one or two classes, with `count` images of each.

    Raises:
        ConfigError: both are the same.
        DataError: a class has no image here, or one cannot be read.
    """
    names = gallery.images.model.class_names
    if len(set(classes)) < len(classes):
        raise ConfigError(f"{names[classes[0]]!r} cannot be set against itself: name another one.")
    chosen = [gallery.seen.best(label, count) for label in classes]
    for label, images in zip(classes, chosen, strict=True):
        if not images:
            raise DataError(
                f"No image of the class {names[label]!r} is in the {gallery.images.split} split "
                f"({gallery.images.source}): take another, --split all."
            )
    return class_page(gallery.images.model, classes, [gallery.shown(images) for images in chosen])


def explain_feature(gallery: Gallery, feature: int, count: int) -> Page:
    """Return the page of a feature, meant by its column, with `count` images in each row.

    Raises:
        DataError: an image cannot be read.
    """
    seen, model = gallery.seen, gallery.images.model
    weight = model.classifier.weight[:, feature]
    users = weight.nonzero().flatten().tolist()
    others = (weight == 0).nonzero().flatten().tolist()
    strength = np.full(len(weight), np.nan)
    for label in np.unique(seen.labels).tolist():
        strength[label] = seen.strength[seen.labels == label, feature].mean()
    groups = [
        (
            "Fires most",
            f"The images of all classes that it fires most in, at most {EACH} of a class.",
            gallery.shown(seen.strongest(feature, range(len(weight)), count, EACH)),
        ),
        (
            "Fires least",
            f"The weakest images of the classes that use it, at most {EACH} of a class.",
            gallery.shown(seen.weakest(feature, users, count, EACH)),
        ),
        (
            "Fires most elsewhere",
            f"The strongest images of classes that do not use it, at most {EACH} of a class.",
            gallery.shown(seen.strongest(feature, others, count, EACH)),
        ),
    ]
    return feature_page(model, feature, strength, groups)


def explain_failures(
    gallery: Gallery, training: Gallery, dense: Classifier | None, count: int, why_no_dense: str
) -> Page:
    """Return the page of the `count` surest mistakes.

    Args:
        gallery: the images among which they are.
        training: those that the model learned from.
        dense: the dense model that it was made of, if it is there.
        count: how many.
        why_no_dense: where it is not: why.

    Raises:
        DataError: there is no mistake, or an image cannot be read.
    """
    images, found = gallery.images, gallery.seen.failures()
    where = f"the {len(images)} images of the {images.split} split of {images.dataset}"
    if not found:
        raise DataError(
            f"{images.model.folder} recognises all of {where}: there is no mistake to explain. "
            "Look at other images: --split, --data."
        )
    failures = _failures(gallery, training, dense, found[:count])
    words = [
        f"{len(found)} of {where} are taken for another class; "
        f"{'these are all' if len(found) <= count else f'the {count} surest are shown'}. The "
        "features of the predicted and of the true class are painted on the same image. "
        "Similarity is the cosine of standardised feature vectors."
    ]
    if dense is None:
        words.append(f"The dense model's GradCAM is left out: {why_no_dense}")
    return failure_page(images.model, failures, words)


def _failures(
    gallery: Gallery, training: Gallery, dense: Classifier | None, positions: list[int]
) -> list[Failure]:
    seen = gallery.seen
    alike = [
        training.seen.nearest(seen.scores[position], int(seen.predicted[position]))
        for position in positions
    ]
    there = [found[0] for found in alike if found is not None]
    nearest = dict(zip(there, training.shown(there), strict=True))
    return [
        Failure(
            image=example.shown,
            nearest=None if found is None else nearest[found[0]],
            similarity=0.0 if found is None else found[1],
            dense=None if dense is None else _dense_view(dense, example.tokens),
        )
        for example, found in zip(gallery.examples(positions), alike, strict=True)
    ]


@torch.inference_mode()
def _dense_view(dense: Classifier, tokens: Float[Tensor, "T D"]) -> DenseView:
    output = dense(tokens[None])
    share, label = output.logits.softmax(1).max(1)
    evidence = weighted_maps(output.feature_maps, dense.weight, label)[0]
    return DenseView(int(label), float(share), evidence.numpy())
