"""SGD in steps: the rates of QPM's recipe, and one set of weights that is used as it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qpmstudy.adapter import Adapter
from qpmstudy.batches import LabelledTokens
from qpmstudy.classifier import Classifier
from qpmstudy.config import FinetuneConfig
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import ConfigError
from qpmstudy.heads import DenseHead, SparseHead
from qpmstudy.optimizers import DENSE_SGD, FINETUNE_SGD, SteppedSGD, stepped_sgd
from qpmstudy.resnet import ResNetAdapter
from qpmstudy.selection.methods import METHODS
from qpmstudy.stages.finetune import recipes
from qpmstudy.training import Loop, Recipe, train

RECIPE = Recipe(epochs=5, batch=16, lr=0.05, weight_decay=1e-3, div=0.1, sgd=DENSE_SGD)


def classifier(seed: int = 0) -> Classifier:
    generator = torch.Generator().manual_seed(seed)
    return Classifier(Adapter(12, 16, 8, 2, generator), DenseHead(8, 6, 0.0, generator))


@pytest.mark.parametrize(
    ("choice", "epochs", "expected"),
    [
        (DENSE_SGD, 150, [0.4 ** (epoch // 30) for epoch in range(150)]),
        (FINETUNE_SGD, 40, [0.4 ** (epoch // 10) for epoch in range(40)]),
        (DENSE_SGD, 1, [1.0]),
        (FINETUNE_SGD, 4, [1.0, 0.4, 0.16, 0.064]),
        (DENSE_SGD, 7, [1.0, 1.0, 0.4, 0.4, 0.16, 0.16, 0.064]),
    ],
)
def test_rates_fall_as_published(choice: SteppedSGD, epochs: int, expected: list[float]) -> None:
    optimizer, schedule = stepped_sgd(choice, classifier(), 0.005, 5e-4, epochs)
    adapter, head = optimizer.param_groups
    for share in expected:
        assert adapter["lr"] == pytest.approx(0.005 * share)
        assert head["lr"] == pytest.approx(0.005 * share * choice.head)
        optimizer.step()
        schedule.step()
    for group in (adapter, head):
        assert (group["momentum"], group["weight_decay"]) == (choice.momentum, 5e-4)


def test_the_published_recipe() -> None:
    assert (DENSE_SGD.momentum, FINETUNE_SGD.momentum) == (0.9, 0.95)
    assert 0.005 * DENSE_SGD.head == 0.01  # of the linear layer


@pytest.fixture
def part(embeddings: Embeddings) -> LabelledTokens:
    return LabelledTokens(embeddings, embeddings.indices("train"))


def test_the_adapter_learns_under_a_head_without_parameters(part: LabelledTokens) -> None:
    ones = torch.ones(8)
    model = Classifier(classifier().adapter, SparseHead(torch.ones(6, 8) > 0, ones, ones))
    before = {name: value.clone() for name, value in model.tensors().items()}
    train(model, part, replace(RECIPE, epochs=1, sgd=FINETUNE_SGD, l1_fm=1.0), seed=1)
    for name, value in model.tensors().items():
        assert torch.equal(value, before[name]) == name.startswith("classifier.head"), name


def test_records_tell_the_rate_of_their_epoch(part: LabelledTokens) -> None:
    history = train(classifier(), part, RECIPE, seed=1)
    expected = [0.05 * 0.4**epoch for epoch in range(5)]
    assert [record["lr"] for record in history] == pytest.approx(expected)
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_first_step_follows_the_gradient(part: LabelledTokens) -> None:
    """w - lr (dL/dw + weight decay w), the head at twice the rate; momentum has nothing yet."""
    before, model = classifier().train(), classifier()
    batch = part.batch(np.arange(16), torch.device("cpu"))
    output = before(batch[0])
    torch.nn.functional.cross_entropy(output.logits, batch[1]).backward()
    Loop(model, replace(RECIPE, div=0.0)).epoch([batch])
    for name, parameter in model.named_parameters():
        old = before.get_parameter(name)
        rate = 0.05 * (2 if name.startswith("head") else 1)
        expected = old - rate * (old.grad + 1e-3 * old)
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-6)


def test_running_statistics_are_those_of_training(part: LabelledTokens) -> None:
    """Watching or not, nothing is averaged and nothing is estimated anew at the end."""
    alone, watched = classifier(), classifier()
    train(alone, part, RECIPE, 1)
    train(watched, part, RECIPE, 1, validation=part)
    by_hand = classifier()
    loop, rng = Loop(by_hand, RECIPE), np.random.default_rng([1, 0x7EA1])
    for _ in range(5):
        order = np.array_split(rng.permutation(len(part)), range(16, len(part), 16))
        loop.epoch([part.batch(positions, torch.device("cpu")) for positions in order])
        loop.schedule.step()
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
        torch.testing.assert_close(value, by_hand.state_dict()[name], rtol=1e-5, atol=1e-6)
    assert not alone.training


def test_the_rounds_of_qsenn_have_it_too() -> None:
    config = FinetuneConfig(optimizer="sgd", epochs=40, early_epochs=10)
    rounds = recipes(config, METHODS.get("qsenn"))
    assert [recipe.sgd for recipe in rounds] == [FINETUNE_SGD] * 4
    assert all(recipe.sgd is None for recipe in recipes(FinetuneConfig(), METHODS.get("qpm")))


def test_the_schedule_free_optimiser_refuses_a_network() -> None:
    model = Classifier(ResNetAdapter(4), DenseHead(4, 2, 0.0, torch.Generator().manual_seed(0)))
    with pytest.raises(ConfigError, match=r"trains the adapter mlp alone, not resnet50: set dense"):
        Loop(model, replace(RECIPE, sgd=None))


class Louder(Adapter):
    """Sees its training pictures doubled, and notes what it sees in which mode."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(12, 16, 8, 2, generator)
        self.seen: dict[bool, list[float]] = {True: [], False: []}
        self.draws: list[float] = []

    def augmented(self, tokens: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        self.draws.append(rng.random())
        return 2 * tokens

    def forward(self, tokens: torch.Tensor, buffers: object = None) -> tuple:
        self.seen[self.training].append(float(tokens.abs().max()))
        return super().forward(tokens, buffers)


def test_only_training_steps_see_changed_pictures(
    embeddings: Embeddings, part: LabelledTokens
) -> None:
    draws = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(0)
        adapter = Louder(generator)
        model = Classifier(adapter, DenseHead(8, 6, 0.0, generator))
        train(model, part, replace(RECIPE, batch=60), seed, validation=part)
        assert len(adapter.draws) == 5
        draws.append(adapter.draws)
        largest = float(torch.from_numpy(embeddings.tokens(part.index)).abs().max())
        assert adapter.seen[True] == [2 * largest] * 5
        assert adapter.seen[False] == [largest] * 5
    assert draws[0] == draws[1]
    assert not set(draws[0]) & set(draws[2])
