"""What extends a study and what is another question."""

from typing import Any

import pytest

from storage.study import parse_study
from storage.study.extension import changes, other_changes

GRID: dict[str, Any] = {
    "name": "a",
    "space": {
        "finetune.l1_fm": {"values": [0, 2]},
        "method": {"variants": {"ours": {}, "compact": {"select.features": 40}}},
        "select.per_class": {"values": [3], "when": {"method": "compact"}},
    },
    "seeds": 3,
}
RANGES: dict[str, Any] = {
    "name": "a",
    "sampler": "tpe",
    "trials": 10,
    "space": {"finetune.l1_fm": {"low": 1, "high": 2}, "dense.div": {"values": [0, 1]}},
}


def judge(base: dict[str, Any], path: str, value: object) -> tuple[int, list[str]]:
    """Return how many values changed, and the changes that do not extend the study."""
    old = parse_study(base, "old").canonical()
    content = parse_study(base, "new").canonical()
    *sections, last = path.split("/")
    place = content
    for section in sections:
        place = place[section]
    place[last] = value
    new = parse_study(content, "new")
    return len(changes(old, new)), other_changes(old, new)


@pytest.mark.parametrize(
    ("base", "path", "value"),
    [
        (GRID, "seeds", 4),
        (GRID, "seeds", {"min": 3, "max": 9}),
        (GRID | {"seeds": {"min": 2, "max": 4}}, "seeds", {"min": 3, "max": 4}),
        (GRID, "space/finetune.l1_fm/values", [1, 2, 0, 3]),
        (GRID, "space/method/variants/big", {"select.features": 60}),
        (GRID, "space/select.per_class/values", [3, 4]),
        (RANGES, "trials", 11),
    ],
)
def test_more_extends(base: dict[str, Any], path: str, value: object) -> None:
    changed, other = judge(base, path, value)
    assert changed > 0
    assert other == []


@pytest.mark.parametrize(
    ("base", "path", "value"),
    [
        (GRID, "seeds", 2),
        (GRID, "seeds", {"min": 2, "max": 9}),
        (GRID, "space/finetune.l1_fm/values", [0, 3]),
        (GRID, "space/method/variants/compact", {"select.features": 41}),
        (GRID, "space/select.per_class/when", {"method": ["ours"]}),
        (GRID, "space/dense.lr", {"values": [0.1, 0.2]}),
        (GRID, "protocol", "paper"),
        (RANGES, "trials", 9),
        (RANGES, "space/finetune.l1_fm/high", 9),
        (RANGES, "space/finetune.l1_fm/log", True),
        (RANGES, "space/dense.div/values", [0, 1, 2]),
        (RANGES, "space/dense.lr", {"values": [0.1, 0.2]}),
        (RANGES, "sampler", "nsga2"),
    ],
)
def test_anything_else_is_another_question(base: dict[str, Any], path: str, value: object) -> None:
    _, other = judge(base, path, value)
    assert other
    assert any(line.startswith(path.partition("/")[0]) for line in other)


def test_what_is_not_the_question_is_no_change() -> None:
    assert judge(GRID, "description", "words") == (0, [])
    assert judge(GRID, "parallel", 4) == (0, [])


def test_a_description_of_another_version_extends_nothing() -> None:
    new = parse_study(GRID | {"seeds": 4}, "new")
    old = parse_study(GRID, "old").canonical() | {"colour": "red"}
    assert other_changes(old, new) == ["colour: 'red' before, None now", "seeds: 3 before, 4 now"]
