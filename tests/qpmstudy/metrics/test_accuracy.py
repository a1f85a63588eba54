import numpy as np
import torch

from qpmstudy.metrics import accuracy


def test_accuracy_is_the_share_of_hits_for_tensors_and_arrays() -> None:
    predicted, labels = np.array([1, 2, 3, 3]), np.array([1, 2, 0, 1])
    assert accuracy(predicted, labels) == 0.5
    assert accuracy(torch.from_numpy(predicted), torch.from_numpy(labels)) == 0.5
    assert accuracy(labels, labels) == 1
