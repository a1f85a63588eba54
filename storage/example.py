"""The example that an exported model keeps: an image of its own dataset, as its study saw it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qpmstudy.backbones.preprocessing import seen_pixels
from qpmstudy.datasets.pictures import read_rgb
from qpmstudy.errors import ConfigError, DataError, StoreError
from qpmstudy.example import Example
from qpmstudy.stages import StageOutput
from storage.embeddings import open_store
from storage.layout import StorageRoot


@dataclass(frozen=True)
class KeptExample:
    """An example and what model.json says of it; or why there is none."""

    example: Example | None
    facts: Mapping[str, Any] | None
    missing: str = ""


def example_of(
    root: StorageRoot, evaluated: StageOutput, fingerprint: str, reads_cls: bool
) -> KeptExample:
    """Return an image that was held out of training, with the logits of its evaluation.

    Of those whose explanations TensorBoard shows, the first that was classified rightly.

    Args:
        root: where the embeddings are.
        evaluated: output of the evaluate stage.
        fingerprint: of the embeddings it was computed on.
        reads_cls: whether the adapter takes CLS behind the patches.

    Returns:
        One without an example where its image or its embeddings are out of reach: a model can
        be used without.
    """
    facts: Mapping[str, Any] = evaluated.facts
    tensors = evaluated.tensors
    labels = torch.tensor(facts["overlay_labels"])
    right = (tensors["overlay.predicted"] == labels).nonzero().flatten().tolist()
    chosen = right[0] if right else 0
    position, name = int(tensors["overlay.index"][chosen]), facts["overlay_ids"][chosen]
    dataset, backbone = facts["dataset"], facts["backbone"]
    split, logits = _measured(tensors, position)
    try:
        store = open_store(root.embeddings(dataset, backbone["name"]), dataset, backbone["name"])
        if store.fingerprint != fingerprint:
            raise DataError(f"the embeddings at {store.path} are others than the model's")
        light = store.read_without_patches()
        rows = store.chunk_rows
        patches = store.read_chunk(position // rows)[position % rows]
        picture = read_rgb(Path(light.image_root) / name)
    except (ConfigError, DataError, StoreError) as error:
        return KeptExample(None, None, str(error))
    cls = light.cls[position : position + reads_cls]
    tokens = torch.from_numpy(np.concatenate([patches, cls]))
    return KeptExample(
        Example(seen_pixels(picture, backbone["preprocessing"]), tokens, logits.clone()),
        {
            "image": name,
            "split": split,
            "class": facts["class_names"][int(labels[chosen])],
            "predicted": facts["class_names"][int(logits.argmax())],
        },
    )


def _measured(tensors: Mapping[str, Tensor], position: int) -> tuple[str, Tensor]:
    """Return the split that an image of the store belongs to, and its logits."""
    for name, index in tensors.items():
        if name.startswith("index."):
            split = name.removeprefix("index.")
            found = (index == position).nonzero().flatten()
            if len(found):
                return split, tensors[f"logits.{split}"][int(found[0])]
    raise AssertionError(f"the evaluation shows image {position}, which it did not measure")
