"""What a person reads while a study runs and afterwards."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from cluster.pace import Pace, duration
from cluster.reporter import Reporter, best_so_far, tally_lines, trial_line
from cluster.tables import front_table
from storage.study import parse_study
from storage.summary import Configuration, Estimate, short_names

SPEC = parse_study({"name": "s", "space": {"finetune.l1_fm": {"values": [0, 1]}}}, "test")


def configuration(trial: int, accuracy: float, plausibility: float, front: bool) -> Configuration:
    return Configuration(
        trial=trial,
        searched={"finetune.l1_fm": float(trial)},
        complete=3,
        failed=0,
        estimates={
            "accuracy": Estimate(accuracy, 0.01),
            "plausibility": Estimate(plausibility, 0.02),
        },
        on_front=front,
        errors=(),
    )


ONE, TWO = configuration(0, 0.75, 0.5, True), configuration(1, 0.6, 0.9, True)


def test_a_trial_line_has_values_objectives_and_front() -> None:
    assert trial_line(ONE, SPEC) == (
        "trial 0 (finetune.l1_fm=0): accuracy 75.0 ±1.0  plausibility 50.0 ±2.0  * on the front"
    )


def test_a_trial_line_leaves_out_what_is_not_varied() -> None:
    plain = replace(ONE, searched={"select.method": "none", "select.per_class": "-"})
    assert trial_line(plain, SPEC).startswith(f"trial {ONE.trial} (select.method=none): ")


def test_a_failed_trial_says_why_in_one_line() -> None:
    failed = Configuration(2, {"finetune.l1_fm": 1.0}, 1, 2, {}, False, ("boom\nand a trace",))
    assert trial_line(failed, SPEC) == "trial 2 (finetune.l1_fm=1): 2 of 3 seeds FAILED: boom"


def test_objectives_that_are_counts_are_shown_as_they_are() -> None:
    content = {"objectives": {"accuracy": "max", "dead_features": "min"}}
    spec = SPEC.model_copy(update=content)
    dead = {"accuracy": Estimate(0.75, 0.01), "dead_features": Estimate(12.0, 1.5)}
    one = replace(ONE, estimates=dead)
    assert ": accuracy 75.0 ±1.0  dead_features 12 ±1.5  *" in trial_line(one, spec)
    assert best_so_far([one], spec).endswith("dead_features 12 ±1.5 (trial 0)")
    screen = Console(file=io.StringIO(), width=80)
    screen.print(front_table([one], spec))
    assert isinstance(screen.file, io.StringIO)
    assert " 12 ±1.5" in screen.file.getvalue()


def test_the_best_so_far_are_the_ends_of_the_front() -> None:
    assert best_so_far([], SPEC) == "no front yet"
    said = best_so_far([ONE, TWO], SPEC)
    assert "accuracy 75.0 ±1.0 (trial 0)" in said
    assert "plausibility 90.0 ±2.0 (trial 1)" in said


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.4, "8 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_readable(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_joined_requests_count_as_reused() -> None:
    (line,) = tally_lines({
        "dense": {"computed": 3, "joined": 10, "reused": 5},
        "select": {"computed": 0, "joined": 0, "reused": 0},
    })  # fmt: skip
    assert " ".join(line.split()) == "dense computed 3 reused 15 of 18 requests"


def test_names_are_short_where_that_is_unambiguous() -> None:
    names = short_names(["finetune.l1_fm", "dense.div", "finetune.div"])
    assert names == ["l1_fm", "dense.div", "finetune.div"]


def test_the_table_fits_80_columns_and_marks_the_front() -> None:
    screen = Console(file=io.StringIO(), width=80)
    worse = configuration(2, 0.5, 0.4, False)
    screen.print(front_table([TWO, worse, ONE], SPEC))
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert all(len(line) <= 100 for line in text.splitlines())
    rows = [line for line in text.splitlines() if "±" in line and "mean" not in line]
    assert [row.split()[0] for row in rows] == ["*", "*", "2"]  # best accuracy first


def test_of_many_the_table_has_the_front_and_the_best_of_the_others() -> None:
    screen = Console(file=io.StringIO(), width=100)
    worse = [configuration(number, 0.9 - number / 1000, 0.1, False) for number in range(2, 300)]
    last = configuration(300, 0.1, 0.9, True)
    screen.print(front_table([*worse, last], SPEC))
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    rows = [line for line in text.splitlines() if "±" in line and "mean" not in line]
    numbers = [row.strip(" *").split()[0] for row in rows]
    assert numbers == [*map(str, range(2, 101)), "300"]
    assert f"199 more: study pareto {SPEC.name} --all" in " ".join(text.split())


def test_nothing_moves_where_there_is_no_terminal() -> None:
    screen = Console(file=io.StringIO(), width=80)
    reporter = Reporter(screen)
    for done in range(5):
        reporter.phase("drawing birds", done + 1, 5)
    with reporter.moving(lambda: "never shown"):
        reporter.line("a line")
    assert isinstance(screen.file, io.StringIO)
    begin, end, other = screen.file.getvalue().splitlines()
    assert begin == "drawing birds: 5 images"
    assert re.fullmatch(r"drawing birds: 4 images in 0 s, [\d.]+ images/s", end)
    assert other == "a line"


def test_a_long_phase_says_how_fast_it_is_and_how_long_it_takes() -> None:
    pace = Pace(begun_with=100, begun=50.0)  # 100 images were there before
    assert pace.words(100, 1000, 50.0) == "0.0 images/s"
    assert pace.words(300, 1000, 60.0) == "20.0 images/s, 35 s left"
    assert pace.words(1000, 1000, 95.0) == "900 images in 45 s, 20.0 images/s"
