"""Explanations of a whole model: a class, two classes, a feature, its mistakes.

Each chooses the images that are worth seeing; what is drawn of them is in qpmstudy/explain/.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from qpmstudy.classifier import Classifier
from qpmstudy.confusions import Confusion, confusion_lines, confusions
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.explain.class_page import class_page
from qpmstudy.explain.drawing import Shown
from qpmstudy.explain.failure_page import DenseView, Failure, failure_page
from qpmstudy.explain.feature_page import feature_page
from qpmstudy.explain.page import Page
from qpmstudy.inference import TokenModel
from qpmstudy.metrics.plausibility import weighted_maps
from qpmstudy.prediction_report import find_class
from storage.dense_model import Dense
from storage.gallery import Gallery
from storage.learned_from import LearnedFrom

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
                f"No image of the class {names[label]!r} is among {gallery.images.words} "
                f"({gallery.images.source}): take others, --split or --data."
            )
    examples = [gallery.shown(images) for images in chosen]
    said = f"{_whose(gallery)} Examples are those of a class that it is surest of."
    return class_page(gallery.images.model, classes, examples, gallery.seen.scores.mean(0), [said])


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
    return feature_page(model, feature, strength, groups, [_whose(gallery)])


def explain_failures(gallery: Gallery, training: LearnedFrom, dense: Dense, count: int) -> Page:
    """Return the page of the `count` surest mistakes, and of what is confused most.

    Args:
        gallery: the images among which they are; there may be no mistake.
        training: those that the model learned from, or why they are not there.
        dense: the dense model that it was made of, or why it is not there.
        count: how many.

    Raises:
        DataError: an image among `gallery` cannot be read.
    """
    images, found = gallery.images, gallery.seen.failures()
    words = [_mistakes_in_words(gallery)]
    if not found:
        return failure_page(images.model, [], [], words)
    nearest, missing = _nearest(gallery, training, found[:count])
    failures = [
        Failure(
            image=example.shown,
            nearest=alike[0] if alike else None,
            similarity=alike[1] if alike else 0.0,
            dense=None
            if dense.classifier is None
            else _dense_view(dense.classifier, example.tokens),
        )
        for example, alike in zip(gallery.examples(found[:count]), nearest, strict=True)
    ]
    words.append(
        f"{'These are all' if len(found) <= count else f'The {count} surest are shown'}. The "
        "features of the predicted and of the true class are painted on the same image. "
        "Similarity is the cosine of standardised feature vectors."
    )
    if dense.classifier is None:
        words.append(f"The dense model's GradCAM is left out: {dense.missing}")
    if missing:
        words.append(f"The nearest training image is left out: {missing}")
    return failure_page(images.model, failures, _confused(gallery), words)


def _whose(gallery: Gallery) -> str:
    images = gallery.images
    return f"Model {images.model.folder.name}, on {images.words}."


def mistakes_text(gallery: Gallery) -> str:
    """Return how many of some images are taken for another class, and for which."""
    lines = confusion_lines(_confused(gallery), gallery.images.model.class_names)
    return "\n  ".join([_mistakes_in_words(gallery), *lines])


def _mistakes_in_words(gallery: Gallery) -> str:
    images, found = gallery.images, len(gallery.seen.failures())
    if not found:
        return f"{images.model.folder} recognises all of {images.words}: no mistake to explain."
    return f"{found} of {images.words} {'is' if found == 1 else 'are'} taken for another class."


def _confused(gallery: Gallery) -> list[Confusion]:
    return confusions(gallery.seen.labels, gallery.seen.predicted)


def _nearest(
    gallery: Gallery, training: LearnedFrom, positions: list[int]
) -> tuple[list[tuple[Shown, float] | None], str]:
    """Return the most alike training image for each position, and why if there are none."""
    nothing: list[tuple[Shown, float] | None] = [None] * len(positions)
    learned, seen = training.gallery, gallery.seen
    if learned is None:
        return nothing, training.missing
    alike = [
        learned.seen.nearest(seen.scores[position], int(seen.predicted[position]))
        for position in positions
    ]
    there = [found[0] for found in alike if found is not None]
    try:
        shown = dict(zip(there, learned.shown(there), strict=True))
    except DataError as error:  # the embeddings are there, the pictures need not be
        return nothing, str(error)
    return [None if found is None else (shown[found[0]], found[1]) for found in alike], ""


@torch.inference_mode()
def _dense_view(dense: Classifier, tokens: Float[Tensor, "T D"]) -> DenseView:
    output = dense(tokens[None])
    share, label = output.logits.softmax(1).max(1)
    evidence = weighted_maps(output.feature_maps, dense.weight, label)[0]
    return DenseView(int(label), float(share), evidence.numpy())
