"""The images that an exported model is to be measured on: stored embeddings, or a folder of images.

Both give batches of tokens in half precision, one after the other, for all images or for some.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray
from PIL import Image

from qpmstudy.backbones import check_backbone
from qpmstudy.datasets import check_dataset
from qpmstudy.datasets.pictures import read_rgb
from qpmstudy.embeddings import Embeddings, stratified_split
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.exported import StoredModel, read_model
from storage.embeddings import open_store
from storage.groups import command
from storage.layout import StorageRoot
from storage.token_streams import TokenBatch, stored_tokens

ALL = "all"
"""Every image of a dataset, whatever its split."""


@dataclass(frozen=True)
class ModelImages:
    """A model and n images to measure it on.

    Attributes:
        model: the model.
        dataset: name of the dataset, or the folder that was given instead.
        split: which of its images.
        ids: of the images.
        labels: their classes, as the model counts them.
        masked: whether there are object masks.
        source: where their tokens come from, in words.
        own: whether they are of the very embeddings that the model was trained on.
        chosen_on: whether the model's configuration was chosen by these very images.
        tokens: gives the tokens of the images at some positions, ascending, in batches.
        picture: gives the picture at a position, upright RGB.
        left_out: {id: reason} of broken images.
    """

    model: StoredModel
    dataset: str
    split: str
    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " n"]
    masked: bool
    source: str
    own: bool
    chosen_on: bool
    tokens: Callable[[Int64[np.ndarray, " m"]], Iterator[TokenBatch]]
    picture: Callable[[int], Image.Image]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of images n."""
        return len(self.ids)

    @property
    def words(self) -> str:
        """Return which images they are: "the 12 images of the test split of birds"."""
        return images_in_words(len(self), self.dataset, self.split)

    def batches(self) -> Iterator[TokenBatch]:
        """Yield the tokens of all images."""
        return self.tokens(np.arange(len(self)))

    def only(self, ids: Sequence[str]) -> "ModelImages":
        """Return the images called `ids` alone, which must be in the same order here."""
        place = {name: position for position, name in enumerate(self.ids)}
        kept = np.array([place[name] for name in ids], dtype=np.int64)
        return replace(
            self,
            ids=tuple(ids),
            labels=self.labels[kept],
            tokens=lambda index: self.tokens(kept[index]),
            picture=lambda position: self.picture(int(kept[position])),
        )


def images_in_words(count: int, dataset: str, split: str) -> str:
    """Return "the 12 images of the test split of birds"; of a whole dataset no split is named."""
    of_split = "" if split == ALL else f"the {split} split of "
    return f"the {count} image{'' if count == 1 else 's'} of {of_split}{dataset}"


def stored_images(
    folder: Path, root: StorageRoot, dataset: str | None = None, split: str = "test"
) -> ModelImages:
    """Return the images of a model's own backbone whose embeddings are stored below `root`.

    The backbone itself and its weights are not needed.

    Raises:
        ConfigError: the dataset is unknown or has no such split.
        DataError: the model is damaged; the store is missing, incomplete, damaged, another
            backbone's or made with other weights than the model was trained on; or the dataset
            has classes that the model does not know.
    """
    model = read_measurable(folder)
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
    same = light.fingerprint == model.record["embeddings_fingerprint"]
    return ModelImages(
        model=model,
        dataset=dataset,
        split=split,
        ids=tuple(light.ids[position] for position in index),
        labels=labels_of(model, light.class_names, light.labels[index]),
        masked=light.masks is not None,
        source=f"embeddings at {store.path}",
        own=same,
        chosen_on=same and split == model.record["search_split"],
        tokens=lambda chosen: stored_tokens(store, light, index[chosen]),
        picture=lambda position: read_rgb(Path(light.image_root) / light.ids[index[position]]),
    )


def read_measurable(folder: Path) -> StoredModel:
    """Return a model that says what measuring it needs.

    Raises:
        DataError: it is missing or damaged, or was exported without that.
    """
    model = read_model(folder)
    needed = ("dataset", "sid_k", "search_split", "embeddings_fingerprint", "configuration", "seed")
    missing = [key for key in needed if key not in model.record]
    if missing:
        raise DataError(
            f"{folder / 'model.json'} does not say {', '.join(missing)}, which evaluation needs: "
            "export the model again."
        )
    return model


def of_split(
    splits: NDArray[np.str_], split: str, dataset: str, also: Sequence[str] = ()
) -> Int64[np.ndarray, " n"]:
    """Return the positions of a split's images; `also` are other splits that there are.

    Raises:
        ConfigError: there are none.
    """
    index = np.arange(len(splits)) if split == ALL else np.flatnonzero(splits == split)
    if not len(index):
        known = ", ".join([*sorted({*splits.tolist(), *also}), ALL])
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
    if not own or not share:
        return of_split(light.splits, split, light.dataset)
    if split not in ("train", "validation"):
        return of_split(light.splits, split, light.dataset, also=["validation"])
    pool = light.indices("train")
    training, validation = stratified_split(light.labels[pool], share, record["seed"])
    index: NDArray[np.int64] = pool[training if split == "train" else validation]
    return index


def labels_of(
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
