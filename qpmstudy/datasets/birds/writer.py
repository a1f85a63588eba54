"""A dataset of synthetic birds in the folder layout of CUB-200-2011 (see cub.py).

Beyond that layout it has parts/ as in CUB (parts.txt, part_locs.txt), attributes.txt (one line
a class) and dataset.json (which preset, seed and recipe made it).
"""

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from qpmstudy.datasets.base import SPLITS, ImageDataset
from qpmstudy.datasets.birds.attributes import Code, class_codes, class_name
from qpmstudy.datasets.birds.presets import PRESETS, RECIPE_VERSION, BirdsPreset
from qpmstudy.datasets.birds.render import background_of_class, render
from qpmstudy.datasets.birds.shapes import PARTS
from qpmstudy.datasets.checks import check_folder
from qpmstudy.datasets.cub import open_cub
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.files import read_json, whole_directory, write_json
from qpmstudy.registry import did_you_mean
from qpmstudy.workers import cpus, processes

CHUNK = 16  # images a task: long enough to hide its overhead, short enough to show progress

Places = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class _Picture:
    """What one image is made of; nothing else decides its bytes."""

    id: str
    code: Code
    preferred: str
    rho: float
    seed: tuple[int, int, int, int]  # seed, split, class, index
    label: int
    split: str


def open_birds(name: str, root: Path) -> ImageDataset:
    """Return the synthetic birds of preset `name` that lie at `root`.

    Raises:
        DataError: there are none, the files are damaged, or another preset or recipe made them.
    """
    make = f"make it with make_birds({name!r}, ...) into a new folder"
    check_folder(name, root, make)
    origin = _origin(PRESETS[name], 0)
    del origin["seed"]  # birds of any seed are birds of this preset
    _check_origin(root, origin)
    return open_cub(name, root, make)


def make_birds(
    preset: str | BirdsPreset,
    root: Path,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Write the birds of `preset` to the folder `root`, which appears whole or not at all.

    A folder that already holds them is left alone. `progress` is called with the number of
    images done and the number of all. `workers` is the number of processes (all CPUs unless
    given; 1 stays in this process); no image depends on it.

    Raises:
        ConfigError: no preset has this name.
        DataError: `root` holds something else.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise ConfigError(
                f"Unknown preset of synthetic birds {preset!r}: the choices are "
                f"{', '.join(PRESETS)}.{did_you_mean(preset, PRESETS)}"
            )
        preset = PRESETS[preset]
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        _check_origin(root, _origin(preset, seed))
        return
    codes = class_codes(preset.classes, seed)
    pictures = list(_pictures(preset, codes, seed))
    with whole_directory(root) as folder:
        for code_number, code in enumerate(codes, start=1):
            for top in ("images", "segmentations"):
                (folder / top / class_name(code_number, code)).mkdir(parents=True)
        places = _write_pictures(folder, pictures, workers or cpus(), progress)
        _write_tables(folder, codes, pictures, places)
        write_json(folder / "dataset.json", _origin(preset, seed))


def _origin(preset: BirdsPreset, seed: int) -> dict[str, object]:
    """Return the content of dataset.json."""
    return {"preset": asdict(preset), "seed": seed, "recipe_version": RECIPE_VERSION}


def _check_origin(root: Path, asked: dict[str, object]) -> None:
    """Raise if `root` holds anything but the synthetic birds that `asked` describes."""
    advice = "choose another folder, or delete this one and make the dataset again"
    if not (root / "dataset.json").is_file():
        raise DataError(f"{root} exists but has no dataset.json of synthetic birds: {advice}.")
    found = read_json(root / "dataset.json")
    if not isinstance(found, dict):
        raise DataError(f"{root / 'dataset.json'} does not describe a dataset: {advice}.")
    different = [
        f"{key} {found.get(key)!r} instead of {value!r}"
        for key, value in asked.items()
        if found.get(key) != value
    ]
    if different:
        raise DataError(f"{root} holds synthetic birds of {'; '.join(different)}: {advice}.")


def _pictures(preset: BirdsPreset, codes: list[Code], seed: int) -> Iterator[_Picture]:
    """Yield every image of the dataset, class by class and split by split."""
    for label, code in enumerate(codes):
        preferred = background_of_class(label, seed)
        folder, number = class_name(label + 1, code), 0
        for split_number, split in enumerate(SPLITS):
            rho = 0.0 if split == "shift" else preset.rho
            for index in range(preset.counts[split]):
                number += 1
                name = f"{folder}/img_{number:04d}.png"
                key = (seed, split_number, label, index)
                yield _Picture(name, code, preferred, rho, key, label, split)


def _write_pictures(
    folder: Path,
    pictures: list[_Picture],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[Places]:
    """Write images and segmentations; return the part locations of every image, in order."""
    chunks = [pictures[start : start + CHUNK] for start in range(0, len(pictures), CHUNK)]
    places: list[list[Places]] = [[] for _ in chunks]
    done = 0

    def finished(number: int, result: list[Places]) -> None:
        nonlocal done
        places[number] = result
        done += len(result)
        if progress is not None:
            progress(done, len(pictures))

    workers = min(workers, len(chunks))
    if workers <= 1:
        for number, chunk in enumerate(chunks):
            finished(number, _write_chunk(folder, chunk))
    else:
        with processes(workers, "draws birds", "give workers=1") as pool:
            tasks = {pool.submit(_write_chunk, folder, chunk): i for i, chunk in enumerate(chunks)}
            for task in as_completed(tasks):
                finished(tasks[task], task.result())
    return [place for chunk in places for place in chunk]


def _write_chunk(folder: Path, pictures: list[_Picture]) -> list[Places]:
    """Write the images and segmentations of `pictures`; return their part locations."""
    places = []
    for picture in pictures:
        generator = np.random.default_rng(picture.seed)
        rendered = render(picture.code, picture.preferred, picture.rho, generator)
        # In noise nothing repeats: looking for repetitions costs time and makes larger files.
        rendered.image.save(folder / "images" / picture.id, compress_type=zlib.Z_HUFFMAN_ONLY)
        mask = Image.fromarray(rendered.mask.astype(np.uint8) * 255)
        mask.save(folder / "segmentations" / picture.id)
        places.append(rendered.parts)
    return places


def _write_tables(
    folder: Path, codes: list[Code], pictures: list[_Picture], places: list[Places]
) -> None:
    """Write the text files of the layout; image, class and part ids count from 1."""
    numbered = list(enumerate(pictures, start=1))
    names = [class_name(number, code) for number, code in enumerate(codes, start=1)]
    tables = {
        "classes.txt": [f"{number} {name}" for number, name in enumerate(names, start=1)],
        "attributes.txt": [
            f"{number} " + " ".join(f"{key}={value}" for key, value in code._asdict().items())
            for number, code in enumerate(codes, start=1)
        ],
        "images.txt": [f"{number} {picture.id}" for number, picture in numbered],
        "image_class_labels.txt": [f"{number} {picture.label + 1}" for number, picture in numbered],
        "train_test_split.txt": [
            f"{number} {int(picture.split == 'train')}" for number, picture in numbered
        ],
        "extra_splits.txt": [
            f"{number} {picture.split}"
            for number, picture in numbered
            if picture.split not in ("train", "test")
        ],
        "parts/parts.txt": [f"{number} {part}" for number, part in enumerate(PARTS, start=1)],
        "parts/part_locs.txt": [
            f"{image} {number} {x:.1f} {y:.1f} {int(part in place)}"
            for image, place in enumerate(places, start=1)
            for number, part in enumerate(PARTS, start=1)
            for x, y in [place.get(part, (0, 0))]
        ],
    }
    (folder / "parts").mkdir()
    for file, lines in tables.items():
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
