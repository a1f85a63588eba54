import numpy as np
import torch

from qpmstudy.metrics import dead_features


def test_constant_features_are_dead_whatever_their_value() -> None:
    features = np.random.default_rng(0).random((20, 5)).astype(np.float32)
    assert dead_features(features) == 0
    features[:, 1], features[:, 3] = 0, 7.1
    assert dead_features(features) == 2
    assert dead_features(torch.from_numpy(features)) == 2


def test_rounding_does_not_bring_a_feature_to_life_but_one_spike_does() -> None:
    features = np.full((20, 2), 3.3, dtype=np.float32)
    features[::2] = np.nextafter(features[::2], np.float32(4))
    assert dead_features(features) == 2
    features[:, 0] = 0
    features[4, 0] = 1e-30
    assert dead_features(features) == 1
