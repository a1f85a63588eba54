"""An exported model on the images of a split: from stored embeddings, or embedded on the way.

Both give batches of tokens in half precision, one after the other, to the meter that the evaluate
stage uses.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray

from qpmstudy.backbones import check_backbone
from qpmstudy.datasets import check_dataset, open_dataset
from qpmstudy.embeddings import Embeddings, stratified_split
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.exported import StoredModel, read_model, with_backbone
from qpmstudy.measuring import SplitMeter, training_metrics
from qpmstudy.stages.base import device
from storage.embeddings import open_store
from storage.ensure import PhaseProgress
from storage.groups import command
from storage.layout import StorageRoot
from storage.new_store import BATCH
from storage.prepare import broken_or_refused
from storage.token_streams import TokenBatch, embedded_tokens, stored_tokens

ALL = "all"
"""Every image of a dataset, whatever its split."""


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on some images.

    Attributes:
        model: folder of the model.
        dataset: name of the dataset.
        split: which of its images: a split of the dataset, "validation" (the part of the training
            split that the model's study held out), "train" (what it trained on) or "all".
        images: how many they are.
        source: where their tokens come from, in words.
        metrics: as in the study's rows; None where the dataset has nothing to measure one with.
        sid_k: of SID@k.
        chosen_on: whether the model's configuration was chosen by these very images.
        left_out: {id: reason} of broken images.
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


def evaluate_stored(
    folder: Path, root: StorageRoot, dataset: str | None = None, split: str = "test"
) -> Evaluation:
    """Measure an exported model on embeddings that are stored below `root`.

    The backbone itself and its weights are not needed.

    Raises:
        ConfigError: the dataset is unknown or has no such split.
        DataError: the model is damaged; the store is missing, incomplete, damaged, another
            backbone's or made with other weights than the model was trained on; or the dataset
            has classes that the model does not know.
    """
    model = _read(folder)
    backbone = model.record["backbone"]["name"]
    dataset = dataset or model.record["dataset"]
    check_dataset(dataset)
    check_backbone(backbone)
    store = open_store(root.embeddings(dataset, backbone), dataset, backbone)
    light = store.read_without_patches()
    model.check_weights(
        light.weight_hash,
        f"those behind the embeddings at {store.path}",
        "Make them with the model's weights: "
        f"{command(dataset, backbone, store.path)} --weights FILE --force",
    )
    index = _index(model.record, light, split)
    labels = _labels(model, light.class_names, light.labels[index])
    batches = stored_tokens(store, light, index)
    metrics = _measure(model, labels, light.masks is not None, batches, split)
    same = light.fingerprint == model.record["embeddings_fingerprint"]
    return Evaluation(
        model=folder,
        dataset=dataset,
        split=split,
        images=len(index),
        source=f"embeddings at {store.path}",
        metrics=metrics,
        sid_k=model.record["sid_k"],
        chosen_on=same and split == model.record["search_split"],
    )


def evaluate_images(
    folder: Path,
    data: Path,
    progress: PhaseProgress,
    dataset: str | None = None,
    split: str = "test",
    weights: Path | None = None,
    batch: int | None = None,
    workers: int | None = None,
    skip_broken: bool = False,
) -> Evaluation:
    """Measure an exported model on images in the folder `data`; nothing is stored.

    Args:
        folder: the model.
        data: folder of the images.
        progress: told about checks and embedding.
        dataset: in whose layout they are; None means the model's own dataset.
        split: which of them.
        weights: checkpoint of the backbone; None takes it from where it usually is.
        batch: images that the backbone embeds at once.
        workers: processes that decode images; None decides by CPUs and images.
        skip_broken: leave out images that cannot be decoded.

    Raises:
        ConfigError: the dataset is unknown or has no such split.
        DataError: the model, the weights or images are missing, damaged or others, or the dataset
            has classes that the model does not know.
        WorkerError: a process that decodes images died.
    """
    model = _read(folder)
    backbone = with_backbone(model, weights).backbone
    whole = open_dataset(dataset or model.record["dataset"], data)
    chosen = _of_split(whole.splits, split, whole.name)
    images = whole.only(chosen)
    left_out = broken_or_refused(images, workers, skip_broken, progress)
    images = images.only(np.flatnonzero([name not in left_out for name in images.ids]))
    if not len(images):
        raise DataError(f"Every image of the {split} split in {data} is broken: restore them.")
    labels = _labels(model, images.class_names, images.labels)
    batches = embedded_tokens(images, backbone, batch or BATCH, workers, progress)
    metrics = _measure(model, labels, images.has_masks, batches, split)
    return Evaluation(
        model=folder,
        dataset=images.name,
        split=split,
        images=len(images),
        source=f"images in {data}, embedded by {backbone.name}",
        metrics=metrics,
        sid_k=model.record["sid_k"],
        chosen_on=False,
        left_out=left_out,
    )


def _read(folder: Path) -> StoredModel:
    model = read_model(folder)
    needed = ("dataset", "sid_k", "search_split", "embeddings_fingerprint", "configuration", "seed")
    missing = [key for key in needed if key not in model.record]
    if missing:
        raise DataError(
            f"{folder / 'model.json'} does not say {', '.join(missing)}, which evaluation needs: "
            "export the model again."
        )
    return model


def _of_split(splits: NDArray[np.str_], split: str, dataset: str) -> Int64[np.ndarray, " n"]:
    """Return the positions of a split's images.

    Raises:
        ConfigError: there are none.
    """
    index = np.arange(len(splits)) if split == ALL else np.flatnonzero(splits == split)
    if not len(index):
        known = ", ".join([*sorted(set(splits.tolist())), ALL])
        hint = " (validation is a part of train, known where the model's own embeddings are)"
        raise ConfigError(
            f"The dataset {dataset!r} has no split {split!r}"
            f"{hint if split == 'validation' else ''}: choose one of {known}."
        )
    return index


def _index(record: Mapping[str, Any], light: Embeddings, split: str) -> Int64[np.ndarray, " n"]:
    """Return the positions of the images that `split` means for a model on these embeddings.

    On the embeddings that it was trained on, "train" and "validation" are the two parts that its
    study made of the training split.
    """
    own = light.fingerprint == record["embeddings_fingerprint"]
    share: float = record["configuration"]["split.validation"]
    if not own or split not in ("train", "validation") or (split == "validation" and not share):
        return _of_split(light.splits, split, light.dataset)
    pool = light.indices("train")
    training, validation = stratified_split(light.labels[pool], share, record["seed"])
    index: NDArray[np.int64] = pool[training if split == "train" else validation]
    return index


def _labels(
    model: StoredModel, names: Sequence[str], labels: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Return labels as the model counts its classes, which are told apart by name.

    Raises:
        DataError: a class is none of the model's.
    """
    label_of = {name: label for label, name in enumerate(model.record["class_names"])}
    present = np.unique(labels).tolist()
    unknown = [names[label] for label in present if names[label] not in label_of]
    if unknown:
        raise DataError(
            f"{len(unknown)} of the {len(present)} classes in the images are none of the "
            f"{len(label_of)} that {model.folder} knows, the first is {unknown[0]!r}: its classes "
            "are in model.json, name them alike or leave the images out."
        )
    ours: NDArray[np.int64] = np.array([label_of.get(name, -1) for name in names])[labels]
    return ours


def _measure(
    model: StoredModel,
    labels: Int64[np.ndarray, " n"],
    masked: bool,
    batches: Iterator[TokenBatch],
    split: str,
) -> dict[str, float | None]:
    rows, columns = model.record["backbone"]["grid"]
    classifier = model.classifier.to(device())
    meter = SplitMeter(classifier, labels, (rows, columns), masked, model.record["sid_k"])
    for batch in batches:
        tokens = batch.patches
        if classifier.adapter.reads_cls:
            tokens = np.concatenate([tokens, batch.cls[:, None]], axis=1)
        for start in range(0, len(tokens), meter.batch):
            part = slice(start, start + meter.batch)
            meter.update(
                torch.from_numpy(tokens[part]).to(device()).float(),
                batch.cls[part],
                None if batch.masks is None else batch.masks[part],
            )
    measured = meter.result()
    return training_metrics(measured, labels) if split == "train" else measured.metrics
