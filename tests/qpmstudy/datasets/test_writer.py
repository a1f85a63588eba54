"""Making a dataset: its layout, its determinism, and what a killed generation leaves."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qpmstudy.datasets import ImageDataset, is_synthetic, make_birds, open_dataset
from qpmstudy.datasets.birds import PRESETS, BirdsPreset
from qpmstudy.datasets.birds.attributes import class_codes, class_name
from qpmstudy.datasets.cub import open_cub
from qpmstudy.errors import ConfigError, DataError

ROOT = Path(__file__).parents[3]


def _contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_cubs(tiny: BirdsPreset, tiny_root: Path) -> None:
    birds = open_cub("tiny", tiny_root)
    codes = class_codes(tiny.classes, 3)
    assert birds.class_names == tuple(class_name(i, code) for i, code in enumerate(codes, 1))
    assert Counter(zip(birds.labels.tolist(), birds.splits.tolist(), strict=True)) == {
        (label, split): count
        for label in range(tiny.classes)
        for split, count in tiny.counts.items()
    }
    for index in range(len(birds)):
        mask = birds.mask(index)
        assert mask is not None
        assert mask.shape == birds.image(index).size[::-1]
        assert birds.ids[index].startswith(birds.class_names[birds.labels[index]] + "/")


def test_part_locations_lie_in_the_mask(tiny_root: Path) -> None:
    birds = open_cub("tiny", tiny_root)
    parts = (tiny_root / "parts" / "parts.txt").read_text().splitlines()
    rows = [
        line.split() for line in (tiny_root / "parts" / "part_locs.txt").read_text().splitlines()
    ]
    assert len(rows) == len(birds) * len(parts)
    visible = [row for row in rows if row[4] == "1"]
    assert len(visible) > 0.9 * len(rows)
    for image_id, _, x, y, _ in visible:
        mask = birds.mask(int(image_id) - 1)
        assert mask is not None
        assert mask[int(float(y)), int(float(x))]


def test_files_do_not_depend_on_process_or_workers(
    tiny: BirdsPreset, tiny_root: Path, tmp_path: Path
) -> None:
    """In another process, which has torch loaded, as callers do."""
    program = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from qpmstudy.datasets.birds import BirdsPreset, make_birds\n"
        "for workers in (1, 2):\n"
        f"    make_birds({tiny!r}, Path(sys.argv[1]) / str(workers), seed=3, workers=workers)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, cwd=ROOT, timeout=120
    )
    assert _contents(tmp_path / "1") == _contents(tiny_root)
    assert _contents(tmp_path / "2") == _contents(tiny_root)


def test_an_image_depends_on_nothing_but_its_place(
    tiny: BirdsPreset, tiny_root: Path, tmp_path: Path
) -> None:
    make_birds(replace(tiny, train=1, test=1, shift=2), tmp_path / "other", seed=3, workers=1)
    one, other = open_cub("tiny", tiny_root), open_cub("other", tmp_path / "other")

    def first_bytes(dataset: ImageDataset, split: str) -> bytes:
        index = int(np.flatnonzero((dataset.splits == split) & (dataset.labels == 2))[0])
        return dataset.image_path(index).read_bytes()

    for split in ("train", "test", "shift"):
        assert first_bytes(one, split) == first_bytes(other, split)
    assert first_bytes(one, "train") != first_bytes(one, "test")


def test_progress_counts_to_the_end(tiny: BirdsPreset, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    few = replace(tiny, train=5, test=0, shift=0)
    make_birds(
        few, tmp_path / "birds", progress=lambda done, all_: calls.append((done, all_)), workers=1
    )
    assert calls == [(16, 20), (20, 20)]


def test_a_folder_that_has_them_is_left_alone(tiny: BirdsPreset, tiny_root: Path) -> None:
    before = (tiny_root / "images.txt").stat().st_mtime_ns
    make_birds(tiny, tiny_root, seed=3)
    assert (tiny_root / "images.txt").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "seed", "message"),
    [
        ({}, 4, r"of seed 3 instead of 4"),
        ({"train": 6}, 3, r"'train': 3.* instead of .*'train': 6"),
    ],
)
def test_a_folder_with_others_is_refused(
    tiny: BirdsPreset, tiny_root: Path, change: dict[str, int], seed: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make_birds(replace(tiny, **change), tiny_root, seed=seed)


def test_another_recipe_is_refused(tiny: BirdsPreset, tmp_path: Path) -> None:
    root = tmp_path / "birds"
    make_birds(replace(tiny, train=1, test=1), root, workers=1)
    origin = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(origin | {"recipe_version": 0}))
    with pytest.raises(DataError, match=r"recipe_version 0 instead of"):
        make_birds(replace(tiny, train=1, test=1), root)


def test_a_folder_of_something_else_is_refused(tiny: BirdsPreset, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"has no dataset\.json"):
        make_birds(tiny, tmp_path)


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match=r"Unknown preset.*'bird'.*Did you mean 'birds'"):
        make_birds("bird", Path("nowhere"))


def test_a_failed_generation_leaves_nothing(tiny: BirdsPreset, tmp_path: Path) -> None:
    def stop(done: int, all_: int) -> None:
        raise KeyboardInterrupt("stopped")

    with pytest.raises(KeyboardInterrupt, match=r"^stopped$"):
        make_birds(replace(tiny, train=1, test=0), tmp_path / "birds", progress=stop, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads children from /proc")
def test_a_killed_generation_leaves_no_dataset_and_no_process(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from qpmstudy.datasets.birds import make_birds\n"
        "make_birds('birds', Path(sys.argv[1]), workers=2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(root)], cwd=ROOT)
    try:
        _wait_for(lambda: any(tmp_path.rglob("img_*.png")))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(children) >= 2
    _wait_for(lambda: not any(_alive(int(child)) for child in children))
    assert not root.exists()
    with pytest.raises(DataError, match=r"has no folder .*birds.*make_birds"):
        open_dataset("birds", root)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_registry(tmp_path: Path, tiny_root: Path) -> None:
    assert is_synthetic("birds-smoke")
    assert not is_synthetic("cub2011")
    with pytest.raises(ConfigError, match=r"Unknown dataset 'birds-smok'.*'birds-smoke'"):
        open_dataset("birds-smok", tmp_path)
    with pytest.raises(ConfigError, match=r"Unknown dataset"):
        is_synthetic("imagenet")
    with pytest.raises(DataError, match=r"'name': 'tiny'.* instead of .*'name': 'birds'"):
        open_dataset("birds", tiny_root)


def test_presets_leave_what_the_recipe_trains_on_after_validation() -> None:
    left = {name: preset.train - round(preset.train * 0.2) for name, preset in PRESETS.items()}
    assert left == {
        "birds": 30,
        "birds-full": 32,
        "birds-small": 24,
        "birds-smoke": 16,
        "birds-stress": 30,
    }
