"""Bad input through the command line: one clear message, the right exit code, nothing half-made."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command import CLI, Finished, here, refused, run, smoke_study

SPEC = """\
name: broken
pipeline: {pipeline}
space: {space}
"""


def study_file(folder: Path, pipeline: str = "{}", space: str = "") -> Path:
    path = folder / "broken.yaml"
    space = space or "{finetune.l1_fm: {values: [0, 1]}}"
    path.write_text(SPEC.format(pipeline=pipeline, space=space))
    return path


@pytest.mark.parametrize(
    ("pipeline", "space", "words"),
    [
        ("{dense: {epoch: 3}}", "", ["pipeline.dense.epoch", "Did you mean 'dense.epochs'?"]),
        ("{dense: {epochs: 0}}", "", ["pipeline.dense.epochs", "greater than", "got 0"]),
        ("{dense: {lr: .nan}}", "", ["pipeline.dense.lr", "finite"]),
        ("{}", "{finetune.l1_fmm: {values: [1]}}", ["finetune.l1_fmm", "'finetune.l1_fm'"]),
        ("{}", "{finetune.l1_fm: {values: [-1]}}", ["finetune.l1_fm", "got -1"]),
        ("{}", "{}", ["space"]),
        ("{}", "{finetune.l1_fm: {values: []}}", ["finetune.l1_fm", "empty"]),
        ("{select: {features: 900}}", "", ["select.features = 900", "adapter.features = 512"]),
        ("{embeddings: {dataset: bird}}", "", ["embeddings.dataset", "Did you mean 'birds'?"]),
        ("{}", "{embeddings.backbone: {values: [vit]}}", ["embeddings.backbone", "'vit'"]),
    ],
)
def test_a_broken_study_file_is_refused(
    tmp_path: Path, pipeline: str, space: str, words: list[str]
) -> None:
    root = tmp_path / "runs"
    result = here("study", "launch", study_file(tmp_path, pipeline, space), "--root", root)
    refused(result, 2, *words)
    assert not root.exists()


def test_all_errors_of_a_file_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: a/b\nseeds: 0\npipeline: {dense: {lr: -1}}\nspace: {}\ncolour: red\n")
    result = run("study", "launch", path, "--root", tmp_path / "runs")
    refused(result, 2, "5 error(s)", "name:", "seeds:", "pipeline.dense.lr:", "space:", "colour:")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["study", "launch", "missing.yaml"], 2, ["There is no study file missing.yaml"]),
        (["study", "status", "nowhere"], 1, ["no study 'nowhere'", "study launch"]),
        (["study", "pareto", "../x"], 2, ["'../x' is not allowed"]),
        (["study", "export", "nowhere"], 1, ["no study 'nowhere'"]),
        (["embed", "--dataset", "bird"], 2, ["'bird'", "Did you mean 'birds'?"]),
        (["embed", "--dataset", "cub2011"], 1, ["--data FOLDER"]),
        (["embed", "--backbone", "vit"], 2, ["'vit'", "patch-descriptor"]),
        (["infer", "nowhere", "x.png"], 1, ["nowhere", "no exported model"]),
    ],
)
def test_what_is_not_there_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    where = [] if arguments[0] == "infer" else ["--root", tmp_path / "runs"]
    refused(here(*arguments, *where), code, *words)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_is_a_usage_error() -> None:
    result = run("study", "lunch")
    assert result.code == 2
    assert "No such command" in result.err


@pytest.mark.slow
def test_a_store_of_another_dataset_is_refused(fresh_root: Path, tmp_path: Path) -> None:
    stores = fresh_root / "_embeddings"
    (stores / "birds-smoke").rename(stores / "birds")
    study = tmp_path / "study.yaml"
    study.write_text("name: wrong\nspace: {finetune.l1_fm: {values: [0]}}\n")
    result = here("study", "launch", study, "--root", fresh_root)
    refused(result, 1, "'birds-smoke'", "'birds'", "--force")
    assert not (fresh_root / "wrong").exists()
    assert not list(fresh_root.glob("_artifacts/*"))


@pytest.mark.slow
def test_a_corrupt_image_is_named_and_the_extraction_goes_on_once_mended(
    fresh_root: Path,
) -> None:
    shutil.rmtree(fresh_root / "_embeddings")
    images = sorted((fresh_root / "_datasets" / "birds-smoke" / "images").glob("*/*.png"))
    whole = images[200].read_bytes()
    images[200].write_bytes(whole[: len(whole) // 2])
    embed = ("embed", "--dataset", "birds-smoke", "--root", fresh_root)
    refused(here(*embed), 1, images[200].name, "cannot be decoded")
    assert not (fresh_root / "_embeddings" / "birds-smoke" / "patch-descriptor").exists()
    study = smoke_study(fresh_root)
    refused(here("study", "launch", study, "--root", fresh_root), 1, images[200].name)
    images[200].write_bytes(whole)
    assert here(*embed).code == 0


@pytest.mark.slow
def test_an_image_that_is_none_is_refused(finished: Finished, tmp_path: Path) -> None:
    model = sorted(finished.models.iterdir())[0]
    text = tmp_path / "bird.jpg"
    text.write_text("no picture")
    refused(here("infer", model, text, "--explain", tmp_path / "out"), 1, "bird.jpg", "decoded")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "MODEL_CARD.md"])
def test_a_changed_byte_in_a_model_is_found(finished: Finished, tmp_path: Path, name: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(sorted(finished.models.iterdir())[0], model)
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    image = next((finished.root / "_datasets" / "birds-smoke" / "images").glob("*/*.png"))
    refused(here("infer", model, image), 1, name, "damaged")


@pytest.mark.slow
def test_the_same_name_with_another_question_is_refused(finished: Finished, tmp_path: Path) -> None:
    before = (finished.root / "smoke" / "study.json").read_text()
    other = smoke_study(tmp_path, values="[0, 5]", epochs=4)
    result = here("study", "launch", other, "--root", finished.root)
    refused(result, 2, "launched before with other content", "finetune.l1_fm", "--extend")
    more = smoke_study(tmp_path, values="[0, 5]", epochs=4, seeds=3)
    refused(here("study", "launch", more, "--root", finished.root, "--extend"), 2, "finetune.l1_fm")
    assert (finished.root / "smoke" / "study.json").read_text() == before


@pytest.mark.slow
def test_exporting_twice_is_refused_and_changes_nothing(finished: Finished) -> None:
    before = {p: p.read_bytes() for p in finished.models.rglob("*") if p.is_file()}
    again = here("study", "export", "smoke", "--root", finished.root, "--out", finished.models)
    refused(again, 2, "exists already")
    assert before == {p: p.read_bytes() for p in finished.models.rglob("*") if p.is_file()}


def test_without_studies_the_list_says_how_to_get_one(tmp_path: Path) -> None:
    said = here("study", "list", "--root", tmp_path)
    assert said.out == (
        f"There are no studies in {tmp_path}. Launch one: python cli.py study launch "
        "studies/l1fm.yaml\n"
    )


@pytest.mark.parametrize(
    ("shell", "words"), [("PYTHONIOENCODING=ascii", "\\xb1"), ("exec 3>&1; exec >&-;", "")]
)
def test_what_the_screen_cannot_show_ends_nothing(
    finished: Finished, shell: str, words: str
) -> None:
    """It knows no "±", or there is none."""
    command = shlex.join([sys.executable, str(CLI), "study", "status", "smoke"])
    told = subprocess.run(
        ["sh", "-c", f"{shell} {command} --root {shlex.quote(str(finished.root))}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert words in told.stdout
