"""What stands in a report is what rows and stages say; it is bounded; a name stays a name."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import yaml

from cli import main
from storage.analysis import StudyResults, pareto_result
from storage.report import report_page
from storage.report.cards import POINTS
from storage.report.page import SCRIPTS
from storage.report.repeat import commands, study_file
from storage.study import parse_study

EVIL = '</script><script>window.pwned = 1</script><!--SCRIPT--><img src=x onerror="pwned=1">&amp;'


class Elements(HTMLParser):
    """Which elements a page has, and the text in the last script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def block(page: str) -> Any:
    """Return the data of a page."""
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    return json.loads(text)


def test_a_report_says_what_the_rows_say(finished: Any, told: Callable[..., Any]) -> None:
    result = pareto_result(
        [StudyResults(finished.spec, finished.root.study("tiny").results.rows())]
    )
    data = block(report_page(told(result)))
    rows = result.studies[0].rows
    accuracy = next(metric for metric in data["metrics"] if metric["name"] == "accuracy")
    for trial, mean in zip(data["configurations"]["trial"], accuracy["mean"], strict=True):
        mine = [row["accuracy"] for row in rows if row["trial"] == trial]
        assert mean == pytest.approx(np.mean(mine), rel=1e-5)
    assert accuracy["percent"]
    assert accuracy["objective"] == "max"
    (l1,) = data["parameters"]
    assert (l1["name"], l1["label"], l1["values"]) == ("finetune.l1_fm", "l1_fm", [0, 4])
    assert data["configurations"]["front"] == result.front.on_front.tolist()
    run = data["cards"]["0"]["runs"][0]
    assert len(data["curves"][run["keys"]["dense"]]["epoch"]) == 3
    assert data["curves"][run["keys"]["finetune"]]["epoch"] == [1, 2]
    proof = data["proofs"][run["keys"]["select"]]
    assert proof["objective"][-1] == pytest.approx(rows[0]["qp_objective"], rel=1e-5)
    assert run["certificate"]["gap"] == pytest.approx(rows[0]["qp_gap"], rel=1e-4)
    # both configurations train on one dense model a seed, which stands once
    assert len(data["curves"]) == 2 + 4
    picture = data["pictures"][run["keys"]["evaluate"]]
    assert picture["source"].startswith("data:image/webp;base64,")
    assert "True classes: " in picture["text"]


def test_the_same_results_give_the_same_page(made: Any, told: Any) -> None:
    assert report_page(told(made(5))) == report_page(told(made(5)))


def test_no_name_becomes_markup(made: Any, told: Any, finished: Any) -> None:
    few = made(3)
    spec = few.studies[0].spec.model_copy(update={"description": EVIL})
    failed = [row | {"status": "FAIL", "error": EVIL} for row in few.studies[0].rows[-1:]]
    result = pareto_result([StudyResults(spec, [*few.studies[0].rows[:-1], *failed])])
    page = report_page(told(result))
    plain = report_page(told(few))
    assert Elements(page).tags == Elements(plain).tags
    assert "pwned = 1</script>" not in page
    data = block(page)
    assert data["study"]["description"] == EVIL
    assert [one["error"] for one in data["failures"]] == [EVIL]


def test_a_page_reaches_nothing_and_runs_only_its_own(made: Any, told: Any) -> None:
    page = report_page(told(made(3)))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    markup = re.sub(r"<script.*?</script>|<style>.*?</style>", "", page, flags=re.S)
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", markup)
    assert "<!--" not in page


def test_a_page_of_a_thousand_configurations_is_bounded(made: Any, told: Any) -> None:
    result = made(1000)
    data = told(result, cards=10, picture_bytes=100_000)
    assert len(data["configurations"]["trial"]) == 1000
    assert len(data["cards"]) == 10
    front = set(np.flatnonzero(result.front.on_front).tolist())
    assert set(map(int, data["cards"])) <= front or front <= set(map(int, data["cards"]))
    assert sum(len(one["source"]) for one in data["pictures"].values()) <= 100_000
    assert len(report_page(data)) < 5_000_000


def test_what_failed_has_the_last_cards(made: Any, told: Any) -> None:
    """Though nothing is less than what it has of a metric of which less is better."""
    whole = made(4, objectives={"accuracy": "min"})
    rows = [
        row | ({"status": "FAIL", "error": "no disk", "accuracy": None} if not row["trial"] else {})
        for row in whole.studies[0].rows
    ]
    result = pareto_result([StudyResults(whole.studies[0].spec, rows)])
    assert set(told(result, cards=3)["cards"]) == {"1", "2", "3"}


def test_no_picture_fits_no_bytes(made: Any, told: Any) -> None:
    assert told(made(3), picture_bytes=0)["pictures"] == {}
    assert told(made(3))["pictures"]


def test_long_histories_keep_their_ends(made: Any, told: Any, own_copy: Any) -> None:
    result = made(1)
    row = result.studies[0].rows[0]
    kept = own_copy.root.artifacts.read("dense", row["key.dense"])
    long = [{**kept.facts["history"][0], "epoch": epoch} for epoch in range(1, 501)]
    key = "e" * 64
    own_copy.root.artifacts.write("dense", key, replace(kept, facts={"history": long}), 1.0)
    rows = [one | {"key.dense": key} for one in result.studies[0].rows]
    result = pareto_result([StudyResults(result.studies[0].spec, rows)])
    epochs = told(result, own_copy.root)["curves"][key[:16]]["epoch"]
    assert (epochs[0], epochs[-1], len(epochs)) == (1, 500, POINTS)


def test_what_was_removed_is_left_out(made: Any, told: Any, own_copy: Any) -> None:
    result = made(2)
    for row in result.studies[0].rows:
        for stage in ("finetune", "evaluate"):
            own_copy.root.artifacts.discard(stage, row[f"key.{stage}"])
    for picture in own_copy.root.overlays.rglob("*.jpg"):
        picture.unlink()
    data = told(result, own_copy.root)
    assert data["pictures"] == {}
    run = data["cards"]["0"]["runs"][0]
    assert run["keys"]["dense"] in data["curves"]
    assert run["keys"]["finetune"] not in data["curves"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pipeline": {"adapter": {"hidden": 64}, "finetune": {"l1_fv": 0}}},
        {"protocol": "paper", "stages": {"dense": {"gpu": 0.5}}, "seeds": {"min": 2, "max": 5}},
        {"sampler": "tpe", "warm_start": ["before"], "objectives": {"sid": "max"}},
        {"space": {"finetune.l1_fm": {"low": 0.1, "high": 8, "log": True}}},
        {"space": {"m": {"variants": {"a": {}, "b": {"select.features": 9}}},
                   "select.per_class": {"values": [2, 3], "when": {"m": "b"}}},
         "sampler": "grid", "trials": None},
    ],
)  # fmt: skip
def test_the_study_file_of_a_page_is_the_study(changes: dict[str, Any]) -> None:
    content = {
        "name": "made",
        "space": {"finetune.l1_fm": {"low": 0, "high": 8}},
        "sampler": "random",
        "trials": 4,
    }
    spec = parse_study(content | changes, "made.yaml")
    text = study_file(spec)
    assert parse_study(yaml.safe_load(text), "again").canonical() == spec.canonical()


def test_its_commands_are_commands(made: Any, finished: Any) -> None:
    told = commands(made(3), finished.root.path)
    assert told[0]["command"] == "python cli.py study launch made.yaml"
    for line in told:
        python, script, *words = shlex.split(line["command"])
        assert (python, script) == ("python", "cli.py")
        command: Any = main
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words)  # knows every option


def test_every_script_and_style_is_part_of_the_package() -> None:
    assets = {path.name for path in (files("storage.report") / "assets").iterdir()}
    assert assets == {"page.html", "style.css", *(f"{name}.js" for name in SCRIPTS)}
