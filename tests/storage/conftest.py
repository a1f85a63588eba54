"""Tiny birds, their embeddings, and a finished study on them that no cluster ran."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from browser import browser
from qpmstudy.backbones.base import Backbone
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.backbones.preprocessing import preprocessing_of
from qpmstudy.config import flatten, with_values
from qpmstudy.datasets import ImageDataset, make_birds
from qpmstudy.datasets.birds import BirdsPreset
from qpmstudy.datasets.cub import open_cub
from qpmstudy.embeddings import Embeddings
from qpmstudy.pipeline import run_stage
from qpmstudy.stage_graph import stage_keys
from qpmstudy.stages import StageOutput
from storage import extraction, new_store
from storage.embeddings import EmbeddingStore, open_store
from storage.export import export_study
from storage.layout import StorageRoot
from storage.results import schema
from storage.rows import stage_columns
from storage.study import StudySpec, grid, parse_study
from storage.study.space import settings

TINY = BirdsPreset("tiny", classes=4, train=6, test=3, shift=1)

STUDY = {
    "name": "tiny",
    "pipeline": {
        "adapter": {"depth": 2, "hidden": 12, "features": 10},
        "split": {"validation": 0.34},
        "dense": {"epochs": 3, "batch": 8, "lr": 2e-2},
        "select": {"features": 5, "per_class": 2, "solver": "lagrangian", "time_limit": 2},
        "finetune": {"epochs": 2, "batch": 8, "lr": 2e-2, "l1_fv": 0},
    },
    "space": {"finetune.l1_fm": {"values": [0, 4]}},
    "seeds": 2,
}


@pytest.fixture(scope="session")
def birds(tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    root = tmp_path_factory.mktemp("birds") / "birds"
    make_birds(TINY, root, seed=2, workers=1)
    return open_cub("birds", root)


@pytest.fixture(scope="session")
def birds_root(birds: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> StorageRoot:
    """A storage root that holds the embeddings of tiny birds, in several shards."""
    root = StorageRoot(tmp_path_factory.mktemp("root"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_store, "CHUNK_BYTES", 8 * 256 * 96 * 2)
        patch.setattr(new_store, "SHARD_BYTES", 16 * 256 * 96 * 2)
        extraction.extract(
            birds, open_backbone("patch-descriptor"), root.embeddings("birds", "patch-descriptor")
        )
    return root


def loaded(store: EmbeddingStore) -> Embeddings:
    shards = tuple(store.read_shard(index) for index in range(store.shards))
    return replace(store.read_without_patches(), patches=shards)


@dataclass(frozen=True)
class Finished:
    """A finished study."""

    root: StorageRoot
    spec: StudySpec


def finish(spec: StudySpec, root: StorageRoot) -> Finished:
    """Return a study after computing and storing every stage and row of it, here."""
    (names,) = spec.stores()
    store = open_store(root.embeddings(*names), *names)
    embeddings = loaded(store)
    table = root.study(spec.name).results
    for trial, chosen in enumerate(grid(spec.parameters)):
        config = with_values(spec.pipeline, settings(spec.parameters, chosen))
        for seed in range(spec.seeds.max):
            keys = stage_keys(config, store.fingerprint, seed)
            outputs: dict[str, StageOutput] = {}
            for stage in keys:
                if root.artifacts.manifest(stage, keys[stage]) is None:
                    output = run_stage(stage, config, embeddings, outputs, seed)
                    root.artifacts.write(stage, keys[stage], output, 0.5)
                outputs[stage] = root.artifacts.read(stage, keys[stage])
            row = {
                "study": spec.name,
                "trial": trial,
                "seed": seed,
                "status": "COMPLETE",
                "protocol": spec.protocol,
                "split": spec.objective_split,
                **flatten(config),
                **{f"key.{stage}": key for stage, key in keys.items()},
                **stage_columns(root.artifacts, keys, spec.objective_split),
                "fingerprint": store.fingerprint,
                "versions": "{}",
            }
            table.commit(row, schema(embeddings.held_out_splits()))
    return Finished(root, spec)


@pytest.fixture
def run_here() -> Callable[[StudySpec, StorageRoot], Finished]:
    """Compute and store every stage and row of a study in this process."""
    return finish


@pytest.fixture(scope="session")
def finished(birds_root: StorageRoot) -> Finished:
    """Every stage and row of a study of two configurations and two seeds."""
    return finish(parse_study(STUDY, "tiny.yaml"), birds_root)


@pytest.fixture(scope="session")
def model(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of that study, with everything that an export can have; not to be changed."""
    out = tmp_path_factory.mktemp("models")
    (path,) = export_study(finished.root, finished.spec, out, ("1",), onnx=True)
    return path


@pytest.fixture
def model_copy(model: Path, tmp_path: Path) -> Path:
    """The same, to be damaged at will."""
    return Path(shutil.copytree(model, tmp_path / model.name))


@pytest.fixture(scope="session")
def unproven(finished: Finished) -> Finished:
    """A study of the methods without a certificate, on the same dense model."""
    study = STUDY | {
        "name": "unproven",
        "space": {"select.method": {"values": ["sldd", "qsenn"]}},
        "seeds": 1,
    }
    return finish(parse_study(study, "unproven.yaml"), finished.root)


@pytest.fixture(scope="session")
def inputs(finished: Finished) -> Finished:
    """A linear probe, all frozen features, and DINO-QPM on every other input."""
    variants: dict[str, dict[str, object]] = {
        "probe": {"adapter.depth": 0, "adapter.input": "cls", "select.method": "none"},
        "frozen": {"adapter.depth": 0, "select.method": "none"},
        "cls": {"adapter.input": "cls"},
        "both": {"adapter.input": "both", "adapter.pooling": "max"},
        "concat": {"adapter.input": "concat", "finetune.standardise": False},
    }
    study = STUDY | {"name": "inputs", "space": {"method": {"variants": variants}}, "seeds": 1}
    return finish(parse_study(study, "inputs.yaml"), finished.root)


@pytest.fixture
def own_copy(finished: Finished, tmp_path: Path) -> Finished:
    """The finished study in a root of its own, to be damaged at will."""
    shutil.copytree(finished.root.path, tmp_path / "root")
    return Finished(StorageRoot(tmp_path / "root"), finished.spec)


class Toy(Backbone):
    """Mean colours of the four quarters of an 8 x 8 picture; can fail on purpose."""

    name = "toy"
    dim = 3
    grid = (2, 2)

    def __init__(self, fail_after: int | None = None) -> None:
        self.weight_hash = "0" * 64
        self.preprocessing = preprocessing_of(8, "bilinear", [0.0] * 3, [1.0] * 3)
        self.embedded = 0
        self.fail_after = fail_after

    def normalised(self, pixels: Tensor) -> Tensor:
        return pixels / 255

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.embedded += len(images)
        if self.fail_after is not None and self.embedded > self.fail_after:
            raise RuntimeError("the power went out")
        quarters = torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(2).mT
        return quarters, quarters.mean(1)


@pytest.fixture
def toy() -> Callable[..., Toy]:
    return Toy


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images of the toy backbone a shard."""
    monkeypatch.setattr(new_store, "CHUNK_BYTES", 2 * 4 * 3 * 2)
    monkeypatch.setattr(new_store, "SHARD_BYTES", 2 * 4 * 3 * 2)


@pytest.fixture
def pictures(tmp_path: Path) -> ImageDataset:
    """Eleven pictures of 8 x 8 pixels in the layout of CUB, three classes, with masks."""
    root = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    tables: dict[str, list[str]] = {
        "classes.txt": ["1 a", "2 b", "3 c"],
        "images.txt": [],
        "image_class_labels.txt": [],
        "train_test_split.txt": [],
    }
    for number in range(1, 12):
        name = f"x/{number}.png"
        tables["images.txt"].append(f"{number} {name}")
        tables["image_class_labels.txt"].append(f"{number} {1 + number % 3}")
        tables["train_test_split.txt"].append(f"{number} {int(number % 4 != 0)}")
        mask = np.zeros((8, 8), np.uint8)
        mask[: 4 * (number % 3), :4] = 255
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        for folder, content in (("images", pixels), ("segmentations", mask)):
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
    tables["extra_splits.txt"] = ["8 shift"]
    for file, lines in tables.items():
        (root / file).write_text("\n".join(lines) + "\n")
    return open_cub("cub2011", root)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser, for one module: while it runs, asyncio cannot be used."""
    with browser() as started:
        yield started
