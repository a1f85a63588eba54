"""Class codes: distinct, balanced, each with a neighbour."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpmstudy.datasets.birds import PRESETS
from qpmstudy.datasets.birds.attributes import VALUES, Code, class_codes, class_name, random_code


def _distance(one: Code, other: Code) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


@settings(max_examples=8, deadline=None)
@given(classes=st.integers(4, 24), seed=st.integers(0, 10**6))
def test_codes_are_distinct_and_each_has_a_neighbour(classes: int, seed: int) -> None:
    codes = class_codes(classes, seed)
    assert len(set(codes)) == len(codes) == classes
    for code in codes:
        assert min(_distance(code, other) for other in codes if other != code) == 1
        assert all(value in values for value, values in zip(code, VALUES, strict=True))


@pytest.mark.parametrize("classes", sorted({preset.classes for preset in PRESETS.values()} - {8}))
def test_no_value_takes_more_than_half_of_the_classes(classes: int) -> None:
    for values, column in zip(VALUES, zip(*class_codes(classes, 0), strict=True), strict=True):
        counts = Counter(column)
        assert set(counts) == set(values)
        assert max(counts.values()) <= classes / 2


def test_codes_depend_on_the_seed_alone() -> None:
    assert class_codes(12, 5) == class_codes(12, 5)
    assert class_codes(12, 5) != class_codes(12, 6)


def test_a_name_says_what_is_not_the_default() -> None:
    plain = Code("olive", "same", "same", "plain", "same", "short")
    assert class_name(1, plain) == "001.Olive"
    assert class_name(12, plain._replace(crown="red")) == "012.Olive_red_crown"


def test_random_codes_reach_every_value() -> None:
    generator = np.random.default_rng(0)
    drawn = [random_code(generator) for _ in range(200)]
    assert [set(column) for column in zip(*drawn, strict=True)] == [set(v) for v in VALUES]
