"""Colours of features: each its own on all pages, and none twice on one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpmstudy.explain.colouring import page_colours
from qpmstudy.explain.overlays import PALETTE


def grouped(features: int, per_class: int) -> np.ndarray:
    """Return a head whose classes use neighbours, which overlap by all but one."""
    weight = np.zeros((features, features), np.float32)
    for label in range(features):
        weight[label, [(label + n) % features for n in range(per_class)]] = 1
    return weight


@pytest.mark.parametrize("features", [4, 18, 50])
def test_a_feature_has_its_colour_on_the_page_of_every_class(features: int) -> None:
    weight = grouped(features, 4)
    colours: dict[int, set[object]] = {}
    for used in weight:
        for order in (np.flatnonzero(used), np.flatnonzero(used)[::-1]):
            for feature, its_colour in page_colours(weight, order.tolist()).items():
                colours.setdefault(feature, set()).add(its_colour)
    assert len(colours) == features
    assert all(len(one) == 1 for one in colours.values())
    assert {its_colour for (its_colour,) in colours.values()} <= set(PALETTE)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.data())
def test_no_two_of_a_page_have_one_colour(features: int, seed: int, data: st.DataObject) -> None:
    weight = np.random.default_rng(seed).integers(-1, 2, (7, features)).astype(float)
    order = data.draw(st.permutations(range(features)))
    colours = page_colours(weight, [*order, order[0]])
    assert list(colours) == order
    assert all(one != other for one, other in combinations(colours.values(), 2))


def test_the_more_important_of_two_keeps_the_colour() -> None:
    weight = np.eye(12)
    alone = {feature: page_colours(weight, [feature])[feature] for feature in range(12)}
    one, other = next(p for p in combinations(range(12), 2) if alone[p[0]] == alone[p[1]])
    for order in ((one, other), (other, one)):
        found = page_colours(weight, order)
        assert found[order[0]] == alone[order[0]]
        assert found[order[1]] != alone[order[1]]
