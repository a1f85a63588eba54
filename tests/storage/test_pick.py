"""Which configurations are exported: by the front's knee, by a metric, by number."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from command import here, refused
from qpmstudy.errors import ConfigError, DataError
from storage.picking import picked
from storage.results import Row, schema
from storage.study import parse_study

SPEC = parse_study(
    {
        "name": "curve",
        "pipeline": {},
        "space": {"finetune.l1_fm": {"values": [0, 1, 2, 3]}},
        "seeds": 2,
    },
    "curve.yaml",
)


def rows(points: Sequence[tuple[float, float]], **more: float) -> list[Row]:
    """Return rows of two seeds for each point (accuracy, plausibility)."""
    return [
        {
            "trial": trial,
            "seed": seed,
            "status": "COMPLETE",
            "error": None,
            "finetune.l1_fm": float(trial),
            "accuracy": accuracy + shift,
            "plausibility": plausibility - shift,
            "test_accuracy": 1.0 - accuracy,
            "dense_test_accuracy": accuracy,
            "class_independence": trial / 10,
            **more,
        }
        for trial, (accuracy, plausibility) in enumerate(points)
        for seed, shift in ((0, 0.001), (1, -0.001))
    ]


CURVED = rows([(0.9, 0.1), (0.8, 0.8), (0.1, 0.9), (0.05, 0.2)])


def trials(rows: Sequence[Row], *picks: str) -> list[int]:
    return [pick.trial for pick in picked(rows, SPEC, picks)]


def test_picks() -> None:
    assert trials(CURVED, "front") == [0, 1, 2]
    assert trials(CURVED, "knee") == [1]
    assert trials(CURVED, "best:accuracy") == [0]
    assert trials(CURVED, "best:plausibility") == [2]
    assert trials(CURVED, "best:class_independence") == [3]
    assert trials(CURVED, "best:class_independence:min") == [0]
    assert trials(CURVED, "3") == [3]
    assert trials(CURVED, "knee", "best:accuracy", "front", "1") == [1, 0, 2]


def test_a_pick_says_why_and_by_what_its_seed_is_chosen() -> None:
    (knee,) = picked(CURVED, SPEC, ["knee"])
    assert (knee.metric, knee.direction, knee.why) == ("accuracy", "max", "the knee of the front")
    (best,) = picked(CURVED, SPEC, ["best:class_independence:min"])
    assert (best.metric, best.direction) == ("class_independence", "min")
    assert best.why == "the smallest class_independence of the study"


def test_a_trial_without_its_first_objective_goes_by_the_next() -> None:
    """SID@5 is not defined for classes of three features."""
    spec = parse_study(SPEC.canonical() | {"objectives": {"sid": "max", "accuracy": "max"}}, "x")
    undefined = [row | {"sid": None} for row in CURVED]
    (pick,) = picked(undefined, spec, ["2"])
    assert (pick.trial, pick.metric, pick.direction) == (2, "accuracy", "max")
    alone = parse_study(SPEC.canonical() | {"objectives": {"sid": "max"}}, "x")
    (pick,) = picked(undefined, alone, ["2"])
    assert (pick.metric, pick.direction) == ("accuracy", "max")


def test_a_trial_that_ended_early_is_no_best() -> None:
    rest: dict[str, Any] = dict.fromkeys(CURVED[0])
    rest |= {"trial": 0, "seed": 2, "status": "STOPPED", "finetune.l1_fm": 0.0}
    rest |= {"stopped_at": "evaluate_dense", "stopped_because": "behind"}
    assert trials([*CURVED, rest], "best:accuracy") == [1]
    assert trials([*CURVED, rest], "front") == [1, 2]


def test_an_objective_keeps_its_direction() -> None:
    minimised = parse_study(
        SPEC.canonical() | {"objectives": {"accuracy": "min", "plausibility": "max"}}, "x"
    )
    (best,) = picked(CURVED, minimised, ["best:accuracy"])
    assert best.trial == 3


def test_a_front_without_a_knee_is_left_to_the_person() -> None:
    for points in ([(0.9, 0.1), (0.1, 0.9)], [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9)]):
        with pytest.raises(ConfigError, match=r"has no knee.*--pick 0 --pick \d"):
            picked(rows(points), SPEC, ["knee"])


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        ("worst", r"--pick takes knee, best:METRIC, front, or .* not 'worst'"),
        ("-1", r"not '-1'"),
        ("best:", r"has no metric ''; it has accuracy, class_independence, "),
        ("best:beauty", r"has no metric 'beauty'"),
        ("best:accuracy:up", r"the direction is max or min, not 'up'"),
        ("best:test_accuracy", r"by images that .*validation split: --pick best:accuracy"),
        ("best:dense_test_accuracy", r"--pick best:dense_accuracy"),
    ],
)
def test_picks_that_mean_nothing_or_cheat(pick: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        picked(CURVED, SPEC, [pick])


def test_the_papers_protocol_chooses_on_test_as_it_says() -> None:
    paper = parse_study(SPEC.canonical() | {"protocol": "paper"}, "x")
    (best,) = picked(CURVED, paper, ["best:test_accuracy"])
    assert best.trial == 3


def test_nothing_is_picked_before_all_seeds_are_there() -> None:
    with pytest.raises(DataError, match=r"no configuration with all 2 seeds complete"):
        picked(CURVED[:1], SPEC, ["best:accuracy"])
    assert trials(CURVED[:1], "0") == [0]


@pytest.mark.parametrize("pick", ["front", "knee"])
def test_an_empty_front_says_what_it_lacks(pick: str) -> None:
    unmasked = [row | {"plausibility": None} for row in CURVED]
    with pytest.raises(DataError, match=r"empty: .* value of plausibility .* object masks.*best:"):
        picked(unmasked, SPEC, [pick])
    assert trials(unmasked, "best:accuracy") == [0]
    nowhere_both = [row | {"sid" if row["trial"] else "accuracy": None} for row in CURVED]
    spec = parse_study(SPEC.canonical() | {"objectives": {"accuracy": "max", "sid": "max"}}, "x")
    rows = [{"sid": 0.5} | row for row in nowhere_both]
    with pytest.raises(DataError, match="value of every objective in all its runs"):
        picked(rows, spec, [pick])


def test_through_the_command_line(own_copy: Any, tmp_path: Path) -> None:
    """The best seed of a metric's pick is the best in that metric."""
    table = own_copy.root.study("tiny").results
    for row in table.rows():
        value = 0.2 + 0.1 * row["trial"] + 0.3 * row["seed"]
        table.commit(row | {"sid": value}, schema(("test", "shift")))
    own_copy.root.study("tiny").spec.write_text(json.dumps(own_copy.spec.canonical()))
    export = ("study", "export", "tiny", "--root", own_copy.root.path, "--out", tmp_path / "out")
    found = here(*export, "--pick", "best:sid")
    assert found.code == 0, found.err
    (path,) = map(Path, found.out.split())
    assert path.name == "tiny-trial1-seed1"
    assert "Why this one: the largest sid of the study." in (path / "MODEL_CARD.md").read_text()
    refused(here(*export, "--pick", "best:test_sid"), 2, "--pick best:sid")
    refused(here(*export, "--pick", "nothing"), 2, "--pick takes")
    assert [one.name for one in (tmp_path / "out").iterdir()] == [path.name]
