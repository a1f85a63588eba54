"""Which images are worth showing: small tables with known answers."""

import numpy as np
import pytest

from qpmstudy.confusions import confusion_lines, confusions
from qpmstudy.explain.seen import Seen

SEEN = Seen(
    labels=np.array([0, 0, 0, 1, 1, 2]),
    probabilities=np.array(
        [[0.6, 0.4, 0], [0.9, 0.1, 0], [0.3, 0.7, 0], [0.8, 0.2, 0], [0.1, 0.9, 0], [0, 0.95, 0.05]]
    ),
    scores=np.array([[1.0, 0], [2, 2], [0, 3], [-1, 0], [5, 5.1], [0, 0]]),
    strength=np.array([[0.5, 1], [0.9, 0], [0.7, 0], [0.8, 0], [0.1, 0], [0.2, 0]]),
)


def test_best_examples_were_recognised() -> None:
    assert SEEN.best(0, 2) == [1, 0]
    assert SEEN.best(0, 9) == [1, 0, 2]
    assert SEEN.best(2, 1) == [5]


def test_no_class_takes_all_places() -> None:
    assert SEEN.strongest(0, [0, 1, 2], 4, each=1) == [1, 3, 5]
    assert SEEN.strongest(0, [0, 1, 2], 4, each=2) == [1, 3, 2, 5]
    assert SEEN.strongest(0, [1], 4, each=2) == [3, 4]
    assert SEEN.weakest(0, [0, 1], 3, each=2) == [4, 0, 2]
    assert SEEN.strongest(0, [], 4, each=2) == []


def test_the_surest_mistakes_come_first() -> None:
    assert SEEN.failures() == [5, 3, 2]


def test_what_is_confused_most_comes_first() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 2, 2, 0, 1, 2])
    found = confusions(labels, predicted)
    assert found == [(0, 2, 2, 3), (0, 1, 1, 3), (1, 0, 1, 2)]
    assert confusion_lines(found, ["a", "b", "c"])[0] == "a taken for c: 2 of its 3 images"
    assert confusions(labels, labels) == []


def test_the_nearest_image_has_the_same_direction_whatever_its_length() -> None:
    for scores, label, expected in (
        (np.array([1.0, 1.0]), 0, (1, 1.0)),
        (np.array([1.0, 0.0]), 1, (4, 5 / np.hypot(5, 5.1))),
    ):
        assert SEEN.nearest(scores, label) == (expected[0], pytest.approx(expected[1]))
    assert SEEN.nearest(np.zeros(2), 2) == (5, 0.0)
    assert SEEN.nearest(np.zeros(2), 7) is None
