"""The studies that come along: what they ask, how much, and under the paper's own names."""

from pathlib import Path

import pytest

from qpmstudy.paper import TABLES, published
from shrunk_studies import STUDIES, shrunk
from storage.study import StudySpec, load_study

CONFIGURATIONS = {
    "table1.yaml": 6,
    "table2.yaml": 4,
    "table3.yaml": 5,
    "table4.yaml": 2,
    "fig7.yaml": 4,
    "fig8.yaml": 9,
    "l1fm.yaml": 6,
    "pareto.yaml": 40,
    "fig11.yaml": 9,
    "fig12.yaml": 4,
    "fig13.yaml": 6,
    "paper/table1.yaml": 2 * 8,
    "paper/table2.yaml": 2 * 8,
    "paper/table3.yaml": 2 * 7,
    "paper/table4.yaml": 2 * 5,
    "paper/fig7.yaml": 2 * 4,
    "paper/fig8.yaml": 2 * 5 * 5,
    "paper/fig9.yaml": 2 * 9,
    "paper/fig11_dense.yaml": 2 * 9,
    "paper/fig11_finetune.yaml": 2 * 9,
    "paper/fig12.yaml": 2 * 7,
    "paper/fig13.yaml": 2 * 4 * 6,
}
FILES = sorted(STUDIES.glob("**/*.yaml"))
OF_THE_PAPER = sorted(STUDIES.glob("paper/*.yaml"))


def variants(spec: StudySpec) -> set[str]:
    return {name for entry in spec.space.values() for name in entry.variants or ()}


def test_every_file_asks_as_much_as_is_written_here() -> None:
    found = {path.relative_to(STUDIES).as_posix(): load_study(path) for path in FILES}
    assert {name: spec.configurations for name, spec in found.items()} == CONFIGURATIONS
    assert len({spec.name for spec in found.values()}) == len(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(STUDIES).as_posix())
def test_a_file_begins_with_its_command_and_shrinks(path: Path) -> None:
    name = f"studies/{path.relative_to(STUDIES).as_posix()}"
    editors, command, *_ = path.read_text(encoding="utf-8").splitlines()
    schema = path.parent / editors.removeprefix("# yaml-language-server: $schema=")
    assert schema.resolve() == STUDIES / "study.schema.json"
    assert command.startswith(f"# python cli.py study launch {name}")
    whole, small = load_study(path), shrunk(path)
    assert small.configurations <= whole.configurations
    assert variants(small) == variants(whole)
    assert (small.table, small.protocol) == (whole.table, whole.protocol)


def test_every_table_and_figure_is_asked_at_both_sizes() -> None:
    papers = {path: load_study(path).table.paper for path in FILES}
    assert {papers[path] for path in OF_THE_PAPER} == set(TABLES)
    ours = {papers[path] for path in FILES if path not in OF_THE_PAPER}
    assert ours - {None} == set(TABLES)  # and questions that the paper does not ask


@pytest.mark.parametrize("path", OF_THE_PAPER, ids=lambda path: path.stem)
def test_the_papers_studies_are_as_the_paper_says(path: Path) -> None:
    """Its protocol, datasets and defaults; and its rows under the names they have there."""
    spec = load_study(path)
    assert spec.table.paper is not None
    assert (spec.protocol, str(spec.seeds)) == ("paper", "5")
    assert spec.choices("embeddings.dataset") == ("cub2011", "stanford-cars")
    assert spec.objectives == {"accuracy": "max"}  # Cars have no masks
    rows = {value.row for value in published(spec.table.paper)}
    assert rows <= variants(spec)
