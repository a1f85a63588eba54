"""Features and parameters against the sizes in the paper's setting."""

import torch

from qpmstudy.adapter import Adapter
from qpmstudy.classifier import Classifier
from qpmstudy.heads import DenseHead, SparseHead
from qpmstudy.metrics import compactness

PAPER = (768, 2048, 512, 4)
ADAPTER = 768 * 2048 + 2 * 2048 * 2048 + 2048 * 512 + 3 * 3 * 2048 + 3 * 512


def test_a_dense_model_uses_every_feature() -> None:
    head = DenseHead(512, 200, 0.2, torch.Generator().manual_seed(0))
    found = compactness(Classifier(Adapter(*PAPER), head))
    assert found == {
        "n_features": 512,
        "features_per_class": 512,
        "parameters": ADAPTER + 200 * 512 + 200,
    }


def test_selection_shrinks_the_last_layer_and_the_head() -> None:
    weight = torch.zeros(200, 50)
    for label in range(200):
        weight[label, [label % 50, (label + 1 + label // 50) % 50]] = 1
    adapter = Adapter(*PAPER).select(torch.arange(50))
    layer = SparseHead(weight, torch.rand(50), torch.rand(50))
    found = compactness(Classifier(adapter, layer))
    assert found == {
        "n_features": 50,
        "features_per_class": 2,
        "parameters": ADAPTER - 462 * (2048 + 3) + 400,
    }
    biased = SparseHead(weight, torch.rand(50), torch.rand(50), torch.rand(200))
    more = compactness(Classifier(adapter, biased))["parameters"] - found["parameters"]
    assert more == 200
