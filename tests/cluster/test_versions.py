"""Nodes that differ from the driver are named, with what differs and both values."""

from dataclasses import replace
from pathlib import Path

from cluster.versions import node_problems, report
from storage.artifacts import versions
from storage.provenance import PROJECT, source_hash


def test_equal_nodes_have_no_problems(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"probe")
    mine = report(tmp_path, "probe")
    assert mine.versions == versions()
    assert mine.code == source_hash(PROJECT)
    assert node_problems(report(tmp_path), [mine, mine]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["probe"]


def test_each_difference_is_told() -> None:
    mine = report(Path())
    without = {name: version for name, version in mine.versions.items() if name != "scipy"}
    other = replace(mine, node="b", versions={**without, "torch": "1.0"}, code="0" * 64)
    assert node_problems(mine, [mine, other]) == [
        f"b: scipy None, but the driver has {mine.versions['scipy']}",
        f"b: torch 1.0, but the driver has {mine.versions['torch']}",
        f"b: qpmstudy's source is 000000000000, but the driver's is {mine.code[:12]}",
    ]


def test_a_root_that_a_node_does_not_see_is_told(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"of another folder")
    there = report(tmp_path, "probe")
    assert "holds other files" in there.root
    missing = report(tmp_path / "missing", "probe")
    assert "is not there" in missing.root
    assert len(node_problems(report(tmp_path), [there, missing])) == 2
