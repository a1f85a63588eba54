"""docs/reference and the schema of study files are as the code has them."""

import click
import pytest

from cli import main
from reference import ROOT, pages, walk
from storage.results import schema

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == PAGES[name], f"run: python tests/reference.py, which writes {name} anew"


def test_nothing_else_lies_beside_them() -> None:
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/reference").iterdir()}
    assert there == {name for name in PAGES if name.startswith("docs/")}


def test_every_command_and_option_says_what_it_is_for() -> None:
    for path, command, _ in walk(main, click.Context(main, info_name="qpmstudy"), ()):
        assert command.help, path
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, (path, option.name)


def test_every_column_stands_on_the_page() -> None:
    page = PAGES["docs/reference/columns.md"] + PAGES["docs/reference/configuration.md"]
    for column in schema(["test"]).names:
        bare = column.removeprefix("dense_").removeprefix("test_")
        first, point, stage = column.partition(".")
        of_a_stage = point and f"`{first}`" in page and f"`{stage}`" in page
        assert f"`{column}`" in page or f"`{bare}`" in page or of_a_stage, column
