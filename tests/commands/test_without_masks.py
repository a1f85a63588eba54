"""Photographs without object masks: refused where these are asked for, else all the way through."""

import shutil
from pathlib import Path

import pytest

from command import here, refused, smoke_study
from dataset_layouts import make_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("warm_ray")]
UNMASKED = "objectives: {accuracy: max, sid: max}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/ and, in runs/, their embeddings."""
    folder = tmp_path_factory.mktemp("bare")
    make_folder(folder / "photos", classes=3, train=6, test=3)
    shutil.rmtree(folder / "photos/segmentations")
    root = folder / "runs"
    made = here("embed", "--dataset", "folder-bare", "--data", folder / "photos", "--root", root)
    assert made.code == 0, made.err
    assert "no object masks" in made.out
    assert UNMASKED in made.out
    return folder


def bare_study(folder: Path, name: str, more: str) -> Path:
    path = smoke_study(folder, name, seeds=1)
    path.write_text(path.read_text().replace("birds-smoke", "folder-bare") + more)
    return path


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", ["the objective 'plausibility' (there by default)"]),
        ("objectives: {plausibility_shifted: max}", ["the objective 'plausibility_shifted'"]),
        (
            UNMASKED + "\nearly_stopping: "
            "{rungs: [{after: evaluate_dense, by: {dense_plausibility: max}}]}",
            ["'dense_plausibility' at the rung evaluate_dense"],
        ),
    ],
)
def test_what_needs_masks_is_refused_before_anything_runs(
    photos: Path, tmp_path: Path, more: str, words: list[str]
) -> None:
    study = bare_study(tmp_path, "asks", more)
    for command in ("plan", "launch"):
        said = here("study", command, study, "--root", photos / "runs")
        refused(said, 2, *words, "without any", str(photos / "photos"), "segmentations/", UNMASKED)
    assert not (photos / "runs/asks/study.json").exists()
    assert not (photos / "runs/_artifacts").exists()


def test_a_plan_that_cannot_be_launched_fails(tmp_path: Path) -> None:
    """A script that plans before it launches must be able to tell."""
    study = bare_study(tmp_path, "nowhere", UNMASKED)
    for more in ((), ("--json",)):
        planned = here("study", "plan", study, "--root", tmp_path / "empty", *more)
        assert planned.code == 1
        assert "There are no embeddings at" in planned.out
        assert planned.err == ""


def test_from_images_to_an_explained_prediction(photos: Path, tmp_path: Path) -> None:
    root = photos / "runs"

    def done(*arguments: object) -> str:
        result = here(*arguments)
        assert result.code == 0, result.err + result.out
        return result.out

    told = done("study", "launch", bare_study(tmp_path, "bare", UNMASKED), "--root", root)
    assert "plausibility" not in told  # no column of dashes
    assert told.rstrip().endswith(f"next: python cli.py study pareto bare --root {root}")
    for command in ("pareto", "report", "table", "show", "status"):
        done("study", command, "bare", "--root", root)
    page = (root / "bare/report.html").read_text(encoding="utf-8")
    assert '"plausibility"' not in page[page.index('id="data"') :]
    models = tmp_path / "models"
    done("study", "export", "bare", "--root", root, "--out", models, "--pick", "0", "--pick", "1")
    one, other = sorted(models.iterdir())
    card = (one / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Without object masks nobody measured" in card
    done("verify", one)
    picture = next((photos / "photos/test").rglob("*.png"))
    assert "because: " in done("infer", one, picture, "--explain", tmp_path / "why")
    assert (tmp_path / "why/overview.png").exists()
    done("explain", one, "class", "class 0", "class 1", "--root", root, "--out", tmp_path / "class")
    assert "Plausibility needs object masks" in done("evaluate", one, "--root", root)
    done("compare", one, other, "--root", root, "--out", tmp_path / "compared")

    by_masks = ["--root", root, "--objective", "plausibility:max"]
    refused(here("study", "pareto", "bare", *by_masks), 2, "No run of bare has", UNMASKED)
    bound = ["--root", root, "--constraint", "test_plausibility >= 0.5"]
    refused(here("study", "pareto", "bare", *bound), 2, "'test_plausibility'", "--objective")
    best = ["--root", root, "--pick", "best:plausibility"]
    refused(here("study", "export", "bare", *best), 2, "without object masks")
