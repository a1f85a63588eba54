"""The grammar of constraints."""

import numpy as np
import pytest

from qpmstudy.errors import ConfigError
from qpmstudy.pareto import parse_constraint

METRICS = ("accuracy", "test_sid", "n_features")
FRACTIONS = METRICS[:2]


@pytest.mark.parametrize(
    ("text", "shown", "kept"),
    [
        ("accuracy >= 0.85", "accuracy >= 0.85", [False, True, True]),
        ("accuracy>0.85", "accuracy > 0.85", [False, False, True]),
        ("  accuracy  <=  85 %", "accuracy <= 0.85", [True, True, False]),
        ("accuracy < 8.5e-1", "accuracy < 0.85", [True, False, False]),
        ("test_sid >= .5%", "test_sid >= 0.005", [True, True, True]),
        ("n_features <= 18", "n_features <= 18", [True, True, True]),
        ("n_features > -1", "n_features > -1", [True, True, True]),
    ],
)
def test_a_constraint_holds_where_it_says(text: str, shown: str, kept: list[bool]) -> None:
    found = parse_constraint(text, METRICS, FRACTIONS)
    assert str(found) == shown
    assert found.holds(np.array([0.5, 0.85, 0.9])).tolist() == kept
    assert not found.holds(np.array(np.nan))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accuracy", "not of the form METRIC COMPARISON NUMBER"),
        ("accuracy == 0.5", "not of the form"),
        ("0.5 <= accuracy", "not of the form"),
        ("accuracy >= 0.5 and test_sid > 0", "not of the form"),
        ("accuracy >= __import__('os')", "not of the form"),
        ("accuracy >= nan", "not of the form"),
        ("acuracy >= 0.5", "no such metric.*Did you mean 'accuracy'"),
        ("accuracy >= 85", "a fraction between 0 and 1; write 'accuracy >= 85%' or 0.85"),
        ("n_features <= 10%", "n_features is no fraction"),
    ],
)
def test_what_is_no_constraint_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_constraint(text, METRICS, FRACTIONS)
