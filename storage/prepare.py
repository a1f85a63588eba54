"""Making a store of embeddings: from the names of its parts to the finished store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qpmstudy.backbones import check_backbone
from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.variants import with_option
from qpmstudy.config import EmbeddingsConfig
from qpmstudy.datasets import ImageDataset, is_synthetic, make_birds, open_dataset
from qpmstudy.errors import DataError
from storage.embeddings import EmbeddingStore
from storage.extraction import extract
from storage.groups import open_group, read_array
from storage.layout import StorageRoot
from storage.loading import default_workers, find_broken
from storage.new_store import BATCH, fingerprint
from storage.object_masks import UNMASKED
from storage.places import Place, remove
from storage.progress import PhaseProgress
from storage.shards import Fill, fill_here

NAMED = 20


@dataclass(frozen=True)
class Embedding:
    """How a store is made.

    Attributes:
        data: folder of the images of a dataset that is not synthetic.
        weights: checkpoint of the backbone; None takes it from the folder of weights.
        batch: images that the backbone embeds at once.
        workers: processes that decode images; None decides by CPUs and images.
        skip_broken: leave out images that cannot be decoded.
        force: replace a store that is there.
        fill: what computes the shards.
    """

    data: Path | None = None
    weights: Path | None = None
    batch: int = BATCH
    workers: int | None = None
    skip_broken: bool = False
    force: bool = False
    fill: Fill = fill_here


def embed(
    root: StorageRoot,
    dataset: str,
    backbone: str,
    progress: PhaseProgress,
    how: Embedding = Embedding(),
) -> EmbeddingStore:
    """Return the complete store of a dataset and backbone, after making what is missing.

    Before the first image is embedded, all are decoded once: what is broken is named at the
    beginning, all of it, and not by a run that ends in the middle of the night.

    Args:
        root: where stores and generated datasets are kept.
        dataset: its registered name; synthetic ones are generated on first use.
        backbone: its registered name, with its options.
        progress: told about generation, checks and extraction.
        how: everything else.

    Raises:
        ConfigError: dataset or backbone is unknown.
        DataError: images or weights are missing or damaged, or the store there has other content.
        StoreError: another process writes the store, or its URL cannot be reached.
        WorkerError: a process that decodes images or computes shards died.
    """
    check_backbone(backbone)
    folder = how.data or root.dataset(dataset)
    if not is_synthetic(dataset) and how.data is None:
        raise DataError(
            f"The images of {dataset!r} cannot be made here; say where they are: "
            f"python cli.py embed --dataset {dataset} --data FOLDER"
        )
    frozen = open_backbone(backbone, how.weights)
    if is_synthetic(dataset) and not folder.exists():
        make_birds(dataset, folder, progress=lambda done, of: progress("drawing birds", done, of))
    images = open_dataset(dataset, folder)
    path = root.embeddings(dataset, backbone)
    left_out: dict[str, str] | None = {}
    if not is_synthetic(dataset) or how.skip_broken:
        left_out = _known(images, frozen, path, how)
        if left_out is None:
            left_out = broken_or_refused(images, how.workers, how.skip_broken, progress)
        images = _without(images, left_out)
    if how.force:
        remove(path)
    return extract(
        images,
        frozen,
        path,
        progress=lambda done, of: progress(f"embedding {dataset}", done, of),
        batch=how.batch,
        workers=how.workers,
        left_out=left_out,
        fill=how.fill,
    )


def embed_named(
    root: StorageRoot,
    progress: PhaseProgress,
    dataset: str | None,
    backbone: str | None,
    precision: str | None,
    batch: int | None,
    **how: Any,
) -> EmbeddingStore:
    """Return `embed`'s store for what a person typed: None is what a study has by default.

    `precision` is an option of the backbone, as if it stood in its name.

    Raises:
        ConfigError: as `embed`, or the backbone has another precision in its name.
        DataError: as `embed`.
        StoreError: as `embed`.
        WorkerError: as `embed`.
    """
    usual = EmbeddingsConfig()
    name = backbone or usual.backbone
    if precision is not None:
        name = with_option(name, "precision", precision)
    chosen = Embedding(**how, batch=batch or BATCH)
    return embed(root, dataset or usual.dataset, name, progress, chosen)


def summary(store: EmbeddingStore) -> list[str]:
    """Return what to say of a finished store: what it has, what it lacks, and how to use it."""
    broken: dict[str, str] = store.attributes.get("left_out", {})
    names = f"{len(broken)} broken image{'' if len(broken) == 1 else 's'}"
    lines = [f"left out {names}:", broken_lines(broken)] if broken else []
    if not store.attributes["has_masks"]:
        lines.append(
            "no object masks (segmentations/): Plausibility will not be measured; write into "
            f"study files: {UNMASKED}"
        )
    known = store.attributes
    counts = np.bincount(read_array(store.group, "splits"), minlength=len(known["split_names"]))
    splits = zip(counts.tolist(), known["split_names"], strict=True)
    return [
        *lines,
        f"{len(known['class_names'])} classes: "
        f"{', '.join(f'{count} {name}' for count, name in splits)} images",
        f"{store.path}: complete, fingerprint {store.fingerprint[:16]}",
        "in a study file: "
        f"embeddings: {{dataset: {known['dataset']}, backbone: {_quoted(known['backbone'])}}}",
    ]


def _quoted(name: str) -> str:
    """Return a name as it may stand between the braces of a YAML mapping."""
    return f'"{name}"' if "," in name else name


def _known(
    images: ImageDataset, backbone: Backbone, path: Place, how: Embedding
) -> dict[str, str] | None:
    """Return what the store at `path` leaves out if it is of the same images, else None."""
    group = None if how.force else open_group(path, "r")
    if group is None or "left_out" not in group.attrs:
        return None
    attributes: dict[str, Any] = dict(group.attrs)
    left_out: dict[str, str] = attributes["left_out"]
    if left_out and not how.skip_broken:
        return None
    same = fingerprint(_without(images, left_out), backbone) == attributes["fingerprint"]
    return left_out if same else None


def _without(images: ImageDataset, left_out: dict[str, str]) -> ImageDataset:
    return images.without([images.ids.index(name) for name in left_out if name in images.ids])


def broken_or_refused(
    images: ImageDataset, workers: int | None, skip: bool, progress: PhaseProgress
) -> dict[str, str]:
    """Return {id: reason} of the images to leave out, after decoding all.

    Raises:
        DataError: there are some, and they are not to be skipped.
        WorkerError: a process that decodes images died.
    """
    count = default_workers(len(images)) if workers is None else workers
    broken = find_broken(
        images, count, lambda done, of: progress(f"checking {images.name}", done, of)
    )
    if broken and not skip:
        raise DataError(
            f"{len(broken)} of the {len(images)} images of {images.name!r} cannot be used:\n"
            + broken_lines(broken)
            + "\nMend them, or leave them out: --skip-broken. Nothing was embedded."
        )
    return broken


def broken_lines(broken: Mapping[str, str]) -> str:
    """Return a line for each broken image, at most `NAMED`, and how many more there are."""
    lines = [f"  {name}: {reason}" for name, reason in list(broken.items())[:NAMED]]
    if len(broken) > NAMED:
        lines.append(f"  and {len(broken) - NAMED} more")
    return "\n".join(lines)
