"""Prediction through the command line: files, folders and lists, in every form."""

import csv
import io
import json
import os
import re
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from command import Result, here, refused
from qpmstudy import predicting
from qpmstudy.datasets import ImageDataset
from qpmstudy.exported import load_model
from qpmstudy.inference import InterpretableModel

COUNT = 5


@pytest.fixture(scope="module")
def folder(birds: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures, one of them in a sub-folder."""
    path = tmp_path_factory.mktemp("pictures")
    (path / "sub").mkdir()
    for number in range(COUNT):
        where = path / "sub" if number == COUNT - 1 else path
        shutil.copy(birds.image_path(7 * number), where / f"{number}.png")
    return path


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_a_folder_gives_a_line_an_image_that_adds_up(model: Path, folder: Path) -> None:
    found = here("infer", model, folder, "--format", "json", "--top", 2)
    said = lines(found)
    assert [Path(one["image"]).stem for one in said] == ["0", "1", "2", "3", "4"]
    loaded = load_model(model)
    for one in said:
        prediction = loaded.predict(one["image"])
        assert [top["class"] for top in one["top"]] == [
            loaded.class_names[label] for label in prediction.top(2)
        ]
        for top, label in zip(one["top"], prediction.top(2), strict=True):
            total = top["bias"] + sum(top["contributions"].values())
            assert total == pytest.approx(top["logit"], rel=1e-5, abs=1e-5)
            assert top["logit"] == pytest.approx(float(prediction.logits[label]), abs=1e-4)
    assert "5 images in " in found.err
    assert "images/s on " in found.err


def test_a_list_and_any_batch_give_the_same(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lines(here("infer", model, folder, "--format", "json"))
    sizes = []
    predict = InterpretableModel.predict_pixels

    def counted(self: InterpretableModel, pixels: Any) -> Any:
        sizes.append(len(pixels))
        return predict(self, pixels)

    monkeypatch.setattr(InterpretableModel, "predict_pixels", counted)
    listed = "\n".join(one["image"] for one in whole)
    arguments = ["infer", str(model), "-", "--format", "json", "--batch", "2"]
    found = CliRunner().invoke(main, arguments, input=listed + "\n\n")
    assert found.exit_code == 0, found.stderr
    again = [json.loads(line) for line in found.stdout.splitlines()]
    assert sizes == [2, 2, 1]
    for one, other in zip(whole, again, strict=True):
        assert one["image"] == other["image"]
        assert one["class"] == other["class"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_a_table_is_read_by_other_programs(model: Path, folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'a "name"\twith a tab.png'
    shutil.copy(folder / "0.png", odd)
    found = here("infer", model, folder / "1.png", odd, "--format", "table", "--top", 2)
    assert found.code == 0, found.err
    rows = list(csv.DictReader(io.StringIO(found.out), dialect="excel-tab"))
    assert [(row["image"], row["rank"]) for row in rows] == [
        (str(folder / "1.png"), "1"),
        (str(folder / "1.png"), "2"),
        (str(odd), "1"),
        (str(odd), "2"),
    ]
    for row in rows:
        parts = [float(one.partition(":")[2]) for one in row["contributions"].split()]
        assert sum(parts) == pytest.approx(float(row["logit"]), abs=2e-4)


def test_names_may_be_any_bytes(model: Path, folder: Path, tmp_path: Path) -> None:
    """Latin-1 of another machine, as `find` lists it."""
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    shutil.copy(folder / "0.png", os.fsdecode(odd))
    arguments = ["infer", str(model), "-", "--explain", str(tmp_path / "out"), "--format"]
    found = CliRunner().invoke(main, [*arguments, "json"], input=odd + b"\n")
    assert found.exit_code == 0, found.stderr
    assert os.fsencode(json.loads(found.stdout)["image"]) == odd
    for form in ("text", "table"):
        found = CliRunner().invoke(main, [*arguments, form], input=odd + b"\n")
        assert found.exit_code == 0, found.stderr
        assert r"/caf\udce9.png" in found.stdout


def test_broken_images_are_named_at_the_end(model: Path, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pictures"
    shutil.copytree(folder, copy)
    whole = (copy / "1.png").read_bytes()
    (copy / "1.png").write_bytes(whole[:100])
    (copy / "3.jpg").write_text("no picture")
    infer = ("infer", model, copy, copy / "nowhere.png", "--format", "json")
    found = here(*infer, "--explain", tmp_path / "out")
    assert found.code == 1
    said = [Path(json.loads(line)["image"]).stem for line in found.out.splitlines()]
    assert said == ["0", "2", "3", "4"]
    *_, first, second, third, last = found.err.splitlines()
    for line, name, why in (
        (first, "1.png", "cannot be decoded"),
        (second, "3.jpg", "cannot be decoded"),
        (third, "nowhere.png", "does not exist"),
    ):
        assert line.startswith("Broken: The image")
        assert name in line
        assert why in line
    assert last.startswith("Error: 3 of 7 images cannot be decoded; 4 are predicted. Mend them")
    assert "Traceback" not in found.err
    explained = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert explained == ["001-0", "002-2", "003-3", "004-4"]
    skipped = here(*infer, "--skip-broken")
    assert skipped.code == 0
    assert skipped.out == found.out
    assert skipped.err.count("Skipped: The image") == 3


def test_a_contrast_is_said_and_drawn(model: Path, folder: Path, tmp_path: Path) -> None:
    (plain,) = lines(here("infer", model, folder / "0.png", "--format", "json", "--top", 4))
    best, second, third, _ = (top["class"] for top in plain["top"])
    against = ("infer", model, folder / "0.png", "--against")
    (one,) = lines(here(*against, third, "--format", "json"))
    assert one["against"]["class"] == third
    total = one["against"]["bias"] + sum(one["against"]["features"].values())
    assert total == pytest.approx(one["against"]["difference"], rel=1e-5, abs=1e-5)
    found = here(*against, best, "--explain", tmp_path)
    assert found.code == 0, found.err
    assert f"{best} is what it says; against the runner-up:\n  rather than {second}: " in found.out
    assert f"wrote {tmp_path / 'contrast.png'}" in found.out
    facts = json.loads((tmp_path / "explanation.json").read_text())
    assert facts["class"] == best
    assert facts["against"]["class"] == second
    (other,) = lines(here(*against, best, "--format", "json"))
    assert other["against"]["instead_of"] == best
    assert "instead_of" not in one["against"]
    for line in found.out.splitlines():
        if "  = " in line:
            numbers = [Decimal(n) for n in re.findall(r"[+-]\d+\.\d\d", line)]
            assert (sum(numbers[:-1]) == numbers[-1]) == ("(terms are rounded)" not in line)
    every = load_model(model).class_names
    refused(here(*against, "no bird"), 2, f"is called 'no bird'; there are {', '.join(every)}.")
    refused(here(*against, "a"), 2, "classes have 'a' in their name")
    refused(here(*against, best, "--format", "table"), 2, "A table has no room for --against")


def test_what_cannot_be_predicted_at_all(model: Path, tmp_path: Path) -> None:
    refused(here("infer", model, tmp_path), 1, "has no pictures")
    nowhere = here("infer", model, tmp_path / "x.png")
    refused(nowhere, 1, "x.png does not exist: name a file that is a picture")
    assert len(nowhere.err.splitlines()) == 1
    refused(here("infer", tmp_path, tmp_path / "x.png"), 1, "is no exported model")
    found = CliRunner().invoke(main, ["infer", str(model), "-"], input="")
    assert found.exit_code == 0
    assert found.stdout == ""
    assert found.stderr.startswith("0 images in")


def test_few_pictures_are_decoded_ahead(model: Path, folder: Path) -> None:
    """An endless list is predicted batch by batch, not read to its end."""
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield folder / "0.png"

    stream = predicting.predict_images(load_model(model), endless(), batch=2)
    for _ in range(3):
        assert isinstance(next(stream), predicting.Predicted)
    assert taken <= 12
    stream.close()  # type: ignore[attr-defined]  # it is a generator


def test_an_overview_through_the_command_line(model: Path, tmp_path: Path) -> None:
    found = here("explain", model, "overview", "--out", tmp_path / "out")
    assert found.code == 0, found.err
    names = ("overview.png", "overview.html")
    assert found.out.splitlines() == [f"wrote {tmp_path / 'out' / name}" for name in names]
    page = (tmp_path / "out" / "overview.html").read_text()
    record = json.loads((model / "model.json").read_text())
    assert all(name in page for name in record["class_names"])
    refused(here("explain", tmp_path, "overview", "--out", tmp_path), 1, "is no exported model")
