"""Small datasets in the layouts that real ones have: a bright ellipse of the class's hue on noise.

Every maker writes `classes` classes with `train` and `test` pictures each, into a new folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.io import savemat

WIDTH, HEIGHT, BANNER = 60, 48, 20
HUES = ((230, 40, 30), (40, 210, 50), (60, 70, 240), (230, 210, 40), (220, 60, 220))
BOX_FIELDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


@dataclass(frozen=True)
class Drawn:
    """One picture: its class and split, and where the object is (x, y, width, height)."""

    label: int
    split: str
    picture: Image.Image
    mask: Image.Image
    box: tuple[int, int, int, int]

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """First and last column and row of the box, counted from 1 as MATLAB does."""
        x, y, width, height = self.box
        return x + 1, y + 1, x + width, y + height


def drawn(classes: int, train: int, test: int, seed: int = 0) -> Iterator[Drawn]:
    """Yield the pictures of every class, training ones first."""
    rng = np.random.default_rng(seed)
    for label in range(classes):
        for number in range(train + test):
            width, height = (int(extent) for extent in rng.integers((18, 14), (30, 24)))
            x, y = int(rng.integers(0, WIDTH - width)), int(rng.integers(0, HEIGHT - height))
            picture = Image.fromarray(rng.integers(0, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8))
            mask = Image.new("L", picture.size)
            edge = (x, y, x + width - 1, y + height - 1)
            ImageDraw.Draw(picture).ellipse(edge, fill=HUES[label % len(HUES)])
            ImageDraw.Draw(mask).ellipse(edge, fill=51 * (1 + number % 5))
            split = "train" if number < train else "test"
            yield Drawn(label, split, picture, mask, (x, y, width, height))


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95)


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def make_cub(root: Path, classes: int = 3, train: int = 4, test: int = 2) -> Path:
    """CUB-200-2011, with segmentations, bounding boxes and the middle of the object as a part."""
    names = [f"{label + 1:03d}.Bird_{label + 1}" for label in range(classes)]
    tables: dict[str, list[str]] = {
        "classes.txt": [f"{label} {name}" for label, name in enumerate(names, 1)],
        "parts/parts.txt": ["1 belly", "2 left eye"],
    }
    for number, item in enumerate(drawn(classes, train, test), 1):
        path = f"{names[item.label]}/Bird_{number:04d}.jpg"
        save(item.picture, root / "images" / path)
        save(item.mask, (root / "segmentations" / path).with_suffix(".png"))
        x, y, width, height = map(float, item.box)
        for file, lines in {
            "images.txt": [path],
            "image_class_labels.txt": [f"{item.label + 1}"],
            "train_test_split.txt": [f"{int(item.split == 'train')}"],
            "bounding_boxes.txt": [f"{x} {y} {width} {height}"],
            "parts/part_locs.txt": [f"1 {x + width / 2} {y + height / 2} 1", "2 0.0 0.0 0"],
        }.items():
            tables.setdefault(file, []).extend(f"{number} {line}" for line in lines)
    for file, lines in tables.items():
        write_lines(root / file, lines)
    return root


def write_mat(path: Path, **variables: object) -> None:
    """Write variables as MATLAB's version 7 does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, do_compression=True)


def write_annotations(path: Path, records: list[tuple[object, ...]]) -> None:
    """Write the boxes' corners, class from 1 and file name of each picture."""
    kinds = [(field, object) for field in (*BOX_FIELDS, "class", "fname")]
    write_mat(path, annotations=np.array([records], dtype=kinds))


def make_cars(
    root: Path,
    classes: int = 3,
    train: int = 4,
    test: int = 2,
    devkit: str = "devkit",
    labels: str = ".",
    nested: bool = False,
) -> Path:
    """Stanford Cars; as archives unpack, or `nested` as in copies on Kaggle."""
    names = [f"Maker Model {label + 1} Coupe 2012" for label in range(classes)]
    records: dict[str, list[tuple[object, ...]]] = {"train": [], "test": []}
    for item in drawn(classes, train, test):
        name = f"{len(records[item.split]) + 1:05d}.jpg"
        folder = root / f"cars_{item.split}"
        save(item.picture, (folder / folder.name if nested else folder) / name)
        records[item.split].append((*item.corners, item.label + 1, name))
    write_mat(root / devkit / "cars_meta.mat", class_names=np.array([names], dtype=object))
    write_annotations(root / devkit / "cars_train_annos.mat", records["train"])
    write_annotations(root / labels / "cars_test_annos_withlabels.mat", records["test"])
    return root


def make_aircraft(root: Path, classes: int = 3, train: int = 4, test: int = 2) -> Path:
    """FGVC-Aircraft, half of the training pictures in val, a white banner below each picture."""
    names = [f"70{label}-3{label}0 A/B" for label in range(classes)]
    tables: dict[str, list[str]] = {"variants": names}
    for number, item in enumerate(drawn(classes, train, test)):
        image = f"{34309 + 7 * number:07d}"
        picture = Image.new("RGB", (WIDTH, HEIGHT + BANNER), "white")
        picture.paste(item.picture)
        save(picture, root / "data" / "images" / f"{image}.jpg")
        part = "val" if item.split == "train" and number % 2 else item.split
        corners = " ".join(map(str, item.corners))
        tables.setdefault(f"images_variant_{part}", []).append(f"{image} {names[item.label]}")
        tables.setdefault("images_box", []).append(f"{image} {corners}")
    for file, lines in tables.items():
        write_lines(root / "data" / f"{file}.txt", lines)
    return root


def make_folder(
    root: Path, classes: int = 3, train: int = 4, test: int = 2, split: bool = True
) -> Path:
    """Class folders with masks, below train/ and test/ or (`split` off) without those."""
    for number, item in enumerate(drawn(classes, train, test)):
        path = Path(item.split if split else "") / f"class {item.label}" / f"{number}.png"
        save(item.picture, root / path)
        save(item.mask, root / "segmentations" / path)
    return root
