"""Every command of the documentation runs, on studies cut down, in the order of the pages.

What needs other machines, other people's data or a person is left out by a stated rule; that its
options exist is checked in test_pages.py.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from cli import main
from dataset_layouts import make_folder
from documentation import PAGES, ROOT, Block, Command, blocks, commands
from qpmstudy.exported import read_model
from shrunk_studies import shrunk
from storage.study import load_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LEFT_OUT = {
    r"^cluster ": "joins machines: tests/commands/test_cluster.py",
    r"^study tensorboard ": "serves until Ctrl-C: tests/commands/test_dashboards.py",
    r"dinov2|CUB_200|stanford|s3://": "needs data of others: tests/commands/test_embed.py",
    r"^study (launch|table) .*paper": "needs data of others: tests/studies/test_studies.py",
    r"--root /shared/|--root ROOT": "needs a folder that machines share",
}
"""Commands that are not run, by a pattern, and where they are."""
REFUSED = {r"^study plan .*paper": "a launch would end at once: There are no embeddings"}
"""Commands that say on the page that something is missing, by a pattern, and how."""
MODEL = re.compile(r"(?P<folder>\w+)/(?P<study>\w+)-trial\d+-seed\d+")


def left_out(arguments: tuple[str, ...]) -> bool:
    return any(re.search(pattern, " ".join(arguments)) for pattern in LEFT_OUT)


class Reader:
    """Somebody who does what the pages say, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[tuple[str, ...]] = []

    def read(self, block: Block) -> None:
        first = block.text.splitlines()[0]
        if block.language == "sh":
            for command in commands(block.text):
                if command.ours and not left_out(command.ours) and command.ours not in self.ran:
                    self.run(command)
        elif block.language == "python":
            exec(compile(MODEL.sub(self.model, block.text), str(block), "exec"), {})
        elif first.startswith("# ") and first.endswith(".yaml"):
            self.save(self.folder / first.removeprefix("# "), block.text)

    def run(self, command: Command) -> None:
        assert command.ours
        arguments = self.known([self.stand_in(word) for word in command.ours])
        listed = None
        if command.reads is not None:
            listed = subprocess.run(command.reads.words, stdout=subprocess.PIPE, check=True).stdout
        found = CliRunner().invoke(main, arguments, input=listed)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        said = found.stderr or found.stdout
        missing = [
            why for pattern, why in REFUSED.items() if re.search(pattern, " ".join(command.ours))
        ]
        assert found.exit_code == len(missing), f"{command.words}: {said}"
        assert all(why in said for why in missing)
        if command.writes is not None:
            (self.folder / command.writes).write_text(found.stdout)
        self.ran.append(command.ours)

    def save(self, path: Path, text: str) -> None:
        """Write a study file, cut down to two variants, but for own images that it names."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        small = shrunk(path).canonical()
        whole = load_study(path)
        if whole.pipeline.embeddings.dataset.startswith("folder-"):
            small["pipeline"]["embeddings"] = whole.canonical()["pipeline"]["embeddings"]
        for entry in small["space"].values():
            entry["variants"] = entry["variants"] and dict(list(entry["variants"].items())[-2:])
        path.write_text(yaml.safe_dump(small))

    def stand_in(self, word: str) -> str:
        """Return a word of a command for what there is here: studies cut down, and their models."""
        if word.startswith("studies/") and not (self.folder / word).exists():
            self.save(self.folder / word, (ROOT / word).read_text(encoding="utf-8"))
        return MODEL.sub(self.model, word)

    def model(self, named: re.Match[str]) -> str:
        """Return a model for the one that a page names: of which trial and seed differs here."""
        first, *_ = sorted(self.folder.glob(f"{named['folder']}/{named['study']}-trial*"))
        return first.relative_to(self.folder).as_posix()

    def known(self, arguments: list[str]) -> list[str]:
        """Return a command about a trial or feature that there is, and of a bounded time."""
        match arguments:
            case ["study", "show", name, _]:
                return ["study", "show", name, "0"]
            case ["explain", model, "feature", _]:
                feature = read_model(Path(model)).record["selected"][0]
                return ["explain", model, "feature", str(feature)]
            case ["study", "export", *rest]:  # of two configurations there need not be a knee
                return ["study", "export", *("front" if one == "knee" else one for one in rest)]
            case ["select", *_]:
                return [*arguments, "--time-limit", "1"]
        return arguments


@pytest.fixture(scope="module")
def reader(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody with five classes of photographs and an .npz of features."""
    folder = tmp_path_factory.mktemp("reader")
    make_folder(folder / "photos", classes=5, train=6, test=2, split=False)
    picture = (folder / "photos/class 3/24.png").read_bytes()
    for name in ("new.png", "bird.png"):
        (folder / name).write_bytes(picture)
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10
    values = rng.normal(size=(200, 60)) + rng.normal(size=(10, 60))[labels]
    np.savez(folder / "features.npz", features=values, labels=labels)
    shutil.copytree(embedded, folder / "runs")
    before = Path.cwd()
    os.chdir(folder)
    yield Reader(folder)
    os.chdir(before)


@pytest.mark.usefixtures("warm_ray")
def test_what_the_pages_say_can_be_done(reader: Reader) -> None:
    for page in PAGES:
        for block in blocks(page):
            reader.read(block)
    wanted: set[Any] = {
        command.ours
        for page in PAGES
        for block in blocks(page)
        if block.language == "sh"
        for command in commands(block.text)
        if command.ours and not left_out(command.ours)
    }
    assert wanted == set(reader.ran)
    assert len(wanted) >= 40


def test_the_tutorial_is_short() -> None:
    tutorial = next(page for page in PAGES if page.name == "tutorial.md")
    steps = [c for b in blocks(tutorial) if b.language == "sh" for c in commands(b.text)]
    assert len(steps) <= 6
