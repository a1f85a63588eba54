"""Pages that people read: every block is of a kind that is checked, commands exist, links lead."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli import main
from documentation import PAGES, ROOT, Block, Command, blocks, commands, inline, parsed
from qpmstudy.config import flatten
from storage.study import parse_study
from storage.study.schema import study_schema
from storage.study.yaml_file import read_yaml

BLOCKS = [block for page in PAGES for block in blocks(page)]
MINIMAL = {"name": "a", "space": {"finetune.l1_fm": {"values": [0, 1]}}}
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def extras_exist(command: Command) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in command.words:
        for extra in re.findall(r"\[(\w+)\]", word):
            assert extra in project["optional-dependencies"], command


def files_exist(command: Command) -> None:
    for word in command.words:
        if word.startswith(("cluster/", "studies/")):
            assert (ROOT / word).is_file(), command


def completes(command: Command) -> None:
    shell = re.search(r"_QPMSTUDY_COMPLETE=(bash|zsh)_source qpmstudy", command.words[1])
    assert shell, command


def anything(command: Command) -> None:
    assert command.words


OTHERS: dict[str, Callable[[Command], None]] = {
    **dict.fromkeys(("python3", ".", "python", "export", "scp", "find", "source", "cd"), anything),
    **dict.fromkeys(("ray", "docker", "kubectl", "sbatch"), files_exist),
    "eval": completes,
    "pip": extras_exist,
    "optuna-dashboard": anything,
}
"""Programs of others that the pages may name, and what is checked of them."""


def test_there_are_pages_and_blocks() -> None:
    assert len(PAGES) >= 9
    assert {block.language for block in BLOCKS} == {"sh", "yaml", "python", "text"}


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_every_command_and_option_exists(block: Block) -> None:
    for command in commands(block.text):
        for part in command.chain():
            if part.ours:
                parsed(main, part.ours)
            elif part.ours is None:  # and not completion, which calls the program without words
                OTHERS[part.words[0]](part)
            files_exist(part)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_within_sentences_exist(page: Path) -> None:
    for arguments in inline(page):
        parsed(main, arguments)


def test_what_is_only_shown_holds_no_command() -> None:
    for block in of("text"):
        assert not re.search(r"^\s*(python cli\.py|qpmstudy) ", block.text, re.M), block


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_a_study_or_a_part_of_one_is_right(block: Block, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(block.text, encoding="utf-8")
    content: dict[str, Any] = read_yaml(tmp_path / "x.yaml")
    parse_study(MINIMAL | content, str(block))
    jsonschema.Draft7Validator(study_schema()).validate(MINIMAL | content)


def test_values_that_sentences_name_exist() -> None:
    """`finetune.l1_fm` and the like, in every page."""
    paths = {*flatten(parse_study(MINIMAL, "minimal").pipeline)}
    sections = {path.partition(".")[0] for path in paths}
    for page in PAGES:
        for name in re.findall(r"`([a-z]+\.[a-z_0-9]+)(?::[^`]*)?`", page.read_text("utf-8")):
            assert name in paths or name.partition(".")[0] not in sections, (page, name)


def test_pages_written_by_hand_are_the_only_ones() -> None:
    there = {path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "reference"}
    assert there == {page for page in PAGES if ROOT / "docs" in page.parents}


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"))],
    ids=lambda page: page.stem,
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme() -> None:
    links = set(_LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= links


def test_a_block_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Run\n\n    python cli.py license\n")
    with pytest.raises(ValueError, match=r"page\.md:3 is indented"):
        list(blocks(page))
    page.write_text("```sh\npython cli.py license\n")
    with pytest.raises(ValueError, match=r"page\.md:1 has no end"):
        list(blocks(page))


def test_commands_are_told_apart() -> None:
    text = "A=1 python cli.py x 'a > b' > f  # why\n. a && find d | qpmstudy y - \\\n  --z\n"
    first, dot, last = commands(text)
    assert (first.ours, first.writes, first.reads) == (("x", "a > b"), "f", None)
    assert (dot.words, dot.ours) == ((".", "a"), None)
    assert (last.ours, last.reads) == (("y", "-", "--z"), Command(("find", "d")))
    _, move, inner = commands("ray job submit -- bash -c 'cd d && qpmstudy x'")
    assert (move.words, inner.ours) == (("cd", "d"), ("x",))


def test_a_file_that_a_page_names_begins_with_its_name() -> None:
    named = {
        block.text.splitlines()[0].removeprefix("# ")
        for block in of("yaml")
        if block.text.startswith("# ") and block.text.splitlines()[0].endswith(".yaml")
    }
    assert named == {"photos.yaml"}
    assert all(yaml.safe_load(block.text) for block in of("yaml"))
