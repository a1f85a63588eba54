"""Budgets: what is a duration, and when one is spent."""

import pytest

from cluster.budget import Budget
from qpmstudy.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), (" 1.5 H ", 5400), ("45s", 45), ("1d", 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert Budget.parse(text) == Budget(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0s", "2 hours", "1h-30m", "1e3s", "infh"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match=r"takes a time such as 90m.*\(got "):
        Budget.parse(text)


def test_stages_are_counted_from_one() -> None:
    with pytest.raises(ConfigError, match=r"--max-stages must be 1 at least \(got 0\)"):
        Budget.parse(None, 0)


def test_a_budget_is_spent_when_its_bound_is_reached_and_not_before() -> None:
    budget = Budget.parse("1h30m", 10)
    assert budget.spent(5399.9, 9) is None
    assert budget.spent(5400, 0) == "the time budget of 1h 30m is spent"
    assert budget.spent(0, 10) == "the budget of 10 computed stages is spent"
    assert Budget.parse("0.5s").spent(0.5, 0) == "the time budget of 0.5s is spent"
    assert Budget().spent(1e9, 10**9) is None
