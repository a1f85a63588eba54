"""An exported model on the images of a split, by the meter that the evaluate stage uses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from qpmstudy.confusions import Confusion, confusions
from qpmstudy.measuring import Measured, SplitMeter, training_metrics
from qpmstudy.stages.base import device
from storage.folder_images import ImageFolder, folder_images
from storage.layout import StorageRoot
from storage.model_images import ALL, ModelImages, stored_images
from storage.progress import PhaseProgress
from storage.token_streams import TokenBatch


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on some images.

    Attributes:
        model: folder of the model.
        dataset: name of the dataset, or the folder that was given instead.
        split: which of its images: a split of the dataset, "validation" (the part of the training
            split that the model's study held out), "train" (what it trained on) or "all".
        images: how many they are.
        source: where their tokens come from, in words.
        metrics: as in the study's rows; None where the dataset has nothing to measure one with.
        sid_k: of SID@k.
        chosen_on: whether the model's configuration was chosen by these very images.
        left_out: {id: reason} of broken images.
        confused: which classes are taken for which others, the most frequent first.
        class_names: of the model.
    """

    model: Path
    dataset: str
    split: str
    images: int
    source: str
    metrics: Mapping[str, float | None]
    sid_k: int
    chosen_on: bool
    left_out: Mapping[str, str] = field(default_factory=dict)
    confused: Sequence[Confusion] = ()
    class_names: Sequence[str] = ()


def evaluate_stored(
    folder: Path, root: StorageRoot, dataset: str | None = None, split: str = "test"
) -> Evaluation:
    """Measure an exported model on embeddings that are stored below `root`.

    Raises:
        ConfigError: as `stored_images`.
        DataError: as `stored_images`.
    """
    return _evaluation(stored_images(folder, root, dataset, split))


def evaluate_images(
    folder: Path,
    there: ImageFolder,
    progress: PhaseProgress,
    dataset: str | None = None,
    split: str = ALL,
    weights: Path | None = None,
) -> Evaluation:
    """Measure an exported model on images in a folder; nothing is stored.

    Arguments are those of `folder_images`.

    Raises:
        ConfigError: as `folder_images`.
        DataError: as `folder_images`.
        WorkerError: a process that decodes images died.
    """
    return _evaluation(folder_images(folder, there, progress, dataset, split, weights))


class ModelMeter:
    """Measures an exported model on images, of which it is shown all tokens in order."""

    def __init__(self, images: ModelImages) -> None:
        self._classifier = images.model.classifier.to(device())
        rows, columns = images.model.grid
        sid_k = images.model.record["sid_k"]
        self._meter = SplitMeter(
            self._classifier, images.labels, (rows, columns), images.masked, sid_k
        )

    def update(self, batch: TokenBatch) -> None:
        """Take the next batch."""
        tokens = batch.tokens(self._classifier.adapter.reads_cls)
        for start in range(0, len(tokens), self._meter.batch):
            part = slice(start, start + self._meter.batch)
            self._meter.update(
                torch.from_numpy(tokens[part]).to(device()).float(),
                batch.cls[part],
                None if batch.masks is None else batch.masks[part],
            )

    def result(self) -> Measured:
        """Return what all batches come to."""
        return self._meter.result()


def measured_together(meters: list[ModelMeter], batches: Iterator[TokenBatch]) -> list[Measured]:
    """Return what each of some meters finds, all of them shown the same tokens."""
    for batch in batches:
        for meter in meters:
            meter.update(batch)
    return [meter.result() for meter in meters]


def _evaluation(images: ModelImages) -> Evaluation:
    (measured,) = measured_together([ModelMeter(images)], images.batches())
    on_train = images.split == "train"
    metrics = training_metrics(measured, images.labels) if on_train else measured.metrics
    return Evaluation(
        model=images.model.folder,
        dataset=images.dataset,
        split=images.split,
        images=len(images),
        source=images.source,
        metrics=metrics,
        sid_k=images.model.record["sid_k"],
        chosen_on=images.chosen_on,
        left_out=images.left_out,
        confused=confusions(images.labels, measured.logits.argmax(1).cpu().numpy()),
        class_names=images.model.class_names,
    )
