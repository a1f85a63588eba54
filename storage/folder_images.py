"""The images in a folder that an exported model is to be measured on, embedded on the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from qpmstudy.backbones.base import Backbone
from qpmstudy.datasets import ImageDataset, open_dataset
from qpmstudy.errors import DataError
from qpmstudy.exported import StoredModel, with_backbone
from storage.model_images import (
    ALL,
    ModelImages,
    images_in_words,
    labels_of,
    of_split,
    read_measurable,
)
from storage.new_store import BATCH
from storage.prepare import broken_or_refused
from storage.progress import PhaseProgress
from storage.token_streams import TokenBatch, embedded_tokens


@dataclass(frozen=True)
class ImageFolder:
    """Images in a folder, and how they are embedded whenever their tokens are asked for.

    Attributes:
        data: the folder.
        batch: images that the backbone embeds at once; None: as for a store.
        workers: processes that decode images; None decides by CPUs and images.
        skip_broken: leave out images that cannot be decoded.
    """

    data: Path
    batch: int | None = None
    workers: int | None = None
    skip_broken: bool = False


def folder_images(
    folder: Path,
    there: ImageFolder,
    progress: PhaseProgress,
    dataset: str | None = None,
    split: str = ALL,
    weights: Path | None = None,
) -> ModelImages:
    """Return images in a folder, embedded whenever their tokens are asked for.

    Args:
        folder: the model.
        there: the images.
        progress: told about checks and embedding.
        dataset: in whose layout they are; None means the model's own dataset.
        split: which of them, if not all: the folder need not be a part of the dataset.
        weights: checkpoint of the backbone; None takes it from where it usually is.

    Raises:
        ConfigError: the dataset is unknown or has no such split.
        DataError: the model, the weights or images are missing, damaged or others, or the dataset
            has classes that the model does not know.
        WorkerError: a process that decodes images died.
    """
    (found,) = images_of_models([(folder, weights)], there, progress, dataset, split)
    return found


def images_of_models(
    models: Sequence[tuple[Path, Path | None]],
    there: ImageFolder,
    progress: PhaseProgress,
    dataset: str | None = None,
    split: str = ALL,
) -> list[ModelImages]:
    """Return the same as `folder_images` for several models, each with its checkpoint.

    Images are checked once, not once a model.

    Raises:
        ConfigError: as `folder_images`.
        DataError: as `folder_images`.
        WorkerError: as `folder_images`.
    """
    read = [(read_measurable(folder), weights) for folder, weights in models]
    opened = [(model, with_backbone(model, weights).backbone) for model, weights in read]
    names = [dataset or model.record["dataset"] for model, _ in opened]
    sound = {name: _sound(name, there, split, progress) for name in dict.fromkeys(names)}
    return [
        _embedded(model, backbone, sound[name], split, there, progress)
        for (model, backbone), name in zip(opened, names, strict=True)
    ]


class _Sound(NamedTuple):
    """The images of a folder that can be decoded, and {id: reason} of the others."""

    images: ImageDataset
    left_out: dict[str, str]


def _sound(name: str, there: ImageFolder, split: str, progress: PhaseProgress) -> _Sound:
    # What is said of these images names the folder: they may be others than the model's dataset.
    whole = replace(open_dataset(name, there.data), name=str(there.data))
    chosen = whole.only(of_split(whole.splits, split, whole.name))
    left_out = broken_or_refused(chosen, there.workers, there.skip_broken, progress)
    images = chosen.only(np.flatnonzero([image not in left_out for image in chosen.ids]))
    if not len(images):
        raise DataError(f"All of {images_in_words(len(chosen), whole.name, split)} are broken.")
    return _Sound(images, left_out)


def _embedded(
    model: StoredModel,
    backbone: Backbone,
    sound: _Sound,
    split: str,
    there: ImageFolder,
    progress: PhaseProgress,
) -> ModelImages:
    images = sound.images

    def tokens(index: Int64[np.ndarray, " m"]) -> Iterator[TokenBatch]:
        told = progress if len(index) == len(images) else _nobody  # a few are there at once
        batch = there.batch or BATCH
        return embedded_tokens(images.only(index), backbone, batch, there.workers, told)

    return ModelImages(
        model=model,
        dataset=images.name,
        split=split,
        ids=images.ids,
        labels=labels_of(model, images.class_names, images.labels),
        masked=images.has_masks,
        source=f"images in {images.name}, embedded by {backbone.name}",
        own=False,
        chosen_on=False,
        tokens=tokens,
        picture=images.image,
        left_out=sound.left_out,
    )


def _nobody(phase: str, done: int, total: int) -> None:
    """Be told, and tell nobody."""
