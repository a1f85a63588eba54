"""Every study that comes along runs end to end, cut down, up to its table."""

import csv
import io
import math
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

from cluster.launch import launch
from cluster.reporter import Reporter
from command import here
from dataset_layouts import make_cars, make_cub
from published import PUBLISHED
from qpmstudy.paper import published
from shrunk_studies import STAND_IN, STUDIES, shrunk
from storage.layout import StorageRoot
from storage.study import StudySpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_ray")]
FILES = sorted(STUDIES.glob("**/*.yaml"))
MASKS = ("plausibility", "plausibility_shifted", "empty_maps")
"""What only a dataset with masks has."""


def command(*arguments: object) -> str:
    found = here(*arguments)
    assert found.code == 0, found.err
    return found.out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders in the layouts of the paper's datasets."""
    folder = tmp_path_factory.mktemp("data")
    size = {"classes": 3, "train": 3, "test": 1}
    return {
        "cub2011": make_cub(folder / "cub", **size),
        "stanford-cars": make_cars(folder / "cars", **size),
    }


@pytest.fixture(scope="module")
def root(
    embedded: Path,
    data: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> StorageRoot:
    """A storage root with every store that the studies to be run read."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    paths = [item.callspec.params["path"] for item in here if isinstance(item, pytest.Function)]
    folder = tmp_path_factory.mktemp("studies")
    weights = folder / "dino_deitsmall16_pretrain.pth"
    torch.save(PUBLISHED[STAND_IN].random(), weights)
    shutil.copytree(embedded, folder / "runs")
    stores = {store for path in paths for store in shrunk(path).stores()}
    for dataset, backbone in sorted(stores):
        if dataset in data:
            own = ("--weights", weights) if backbone.startswith(STAND_IN) else ()
            command("embed", "--dataset", dataset, "--backbone", backbone, *own,
                    "--data", data[dataset], "--workers", 0, "--root", folder / "runs")  # fmt: skip
    return StorageRoot(folder / "runs")


def name(path: Path) -> str:
    return path.relative_to(STUDIES).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_study_runs_from_its_file_to_its_table(path: Path, root: StorageRoot) -> None:
    spec = shrunk(path)
    outcome = launch(spec, root, Reporter(Console(file=io.StringIO())))
    errors = [error for one in outcome.configurations for error in one.errors]
    assert not errors
    assert (len(outcome.configurations), outcome.unfinished) == (spec.configurations, 0)
    shown = command("study", "table", spec.name, "--root", root.path)
    lines = list(
        csv.DictReader(io.StringIO((root.study(spec.name).path / "table.csv").read_text()))
    )
    metrics = len(spec.table.metrics or range(5))
    assert len(lines) == spec.configurations * metrics
    for line in lines:
        plain = line["metric"].removeprefix("test_")
        if plain in MASKS and line["dataset"] == "stanford-cars":
            assert line["mean"] == ""
        else:
            assert math.isfinite(float(line["mean"])), line
        assert line["seeds"] == "1"
    markdown = (root.study(spec.name).path / "table.md").read_text()
    for label in labels(spec):
        assert f"| {label} |" in markdown
        assert label in shown
    for line in lines:
        row = ", ".join(line[p.name] for p in spec.parameters if p.name in line)
        plain = line["metric"].removeprefix("test_").removesuffix("_shifted")
        beside = [
            value.value
            for value in (published(spec.table.paper) if spec.table.paper else ())
            if (value.row, value.dataset, value.metric) == (row, line["dataset"], plain)
        ]
        assert [float(number) for number in [line["published"]] if number] == beside
    assert (root.study(spec.name).path / "table.png").stat().st_size > 5000


def labels(spec: StudySpec) -> list[str]:
    return [name for entry in spec.space.values() for name in entry.variants or ()]
