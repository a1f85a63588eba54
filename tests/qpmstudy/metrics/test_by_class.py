import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qpmstudy.metrics import accuracy, class_means


@given(
    pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_of_hits_it_is_the_accuracy_of_each_class(pairs: list[tuple[int, int]]) -> None:
    predicted, labels = (np.array(part) for part in zip(*pairs, strict=True))
    found = class_means(predicted == labels, labels, 4)
    counts = np.bincount(labels, minlength=4)
    for label in range(4):
        mine = labels == label
        if mine.any():
            assert float(found[label]) == pytest.approx((predicted[mine] == label).mean())
        else:
            assert found[label].isnan()
    whole = np.nansum(found.numpy() * counts) / counts.sum()
    assert whole == pytest.approx(accuracy(predicted, labels), abs=1e-6)


def test_of_values_it_is_their_mean() -> None:
    found = class_means(torch.tensor([0.5, 1.0, 0.0]), np.array([2, 0, 2]), 3)
    assert found[[0, 2]].tolist() == [1.0, 0.25]
    assert found[1].isnan()
