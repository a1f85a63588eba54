"""The training loop: reproducible, honest about what it leaves behind, loud when it diverges."""

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from schedulefree import AdamWScheduleFree

from qpmstudy import training
from qpmstudy.adapter import Adapter
from qpmstudy.batches import LabelledTokens
from qpmstudy.classifier import Classifier, Output
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import NonFiniteError
from qpmstudy.fused import Buffers
from qpmstudy.heads import DenseHead
from qpmstudy.losses import diversity_loss, l1_feature_maps, l1_feature_vector
from qpmstudy.training import Recipe, losses, train

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(epochs=3, batch=16, lr=5e-2, weight_decay=1e-3, div=0.5, l1_fm=0.1)


def model(seed: int = 0) -> Classifier:
    generator = torch.Generator().manual_seed(seed)
    return Classifier(Adapter(12, 16, 8, 2, generator), DenseHead(8, 6, 0.2, generator))


def parts(embeddings: Embeddings) -> tuple[LabelledTokens, LabelledTokens]:
    """Return training and validation images; the two sizes are no multiples of a batch."""
    pool = embeddings.indices("train")
    return LabelledTokens(embeddings, pool[::2]), LabelledTokens(embeddings, pool[1::2])


def digest(classifier: Classifier) -> str:
    found = hashlib.sha256()
    for name, value in classifier.tensors().items():
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def trained(embeddings: Embeddings, seed: int = 0, recipe: Recipe = RECIPE) -> Classifier:
    data, validation = parts(embeddings)
    classifier = model()
    train(classifier, data, recipe, seed, validation)
    return classifier


def test_the_seed_decides_everything(embeddings: Embeddings) -> None:
    torch.manual_seed(1)
    one = digest(trained(embeddings))
    torch.manual_seed(2)  # global state must not matter
    np.random.seed(3)
    assert digest(trained(embeddings)) == one
    assert digest(trained(embeddings, seed=1)) != one


@pytest.mark.slow
def test_another_process_trains_the_same_model(embeddings: Embeddings, tmp_path: Path) -> None:
    (tmp_path / "embeddings").write_bytes(pickle.dumps(embeddings))
    program = (
        "import pickle, runpy, sys; from pathlib import Path\n"
        "embeddings = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "here = runpy.run_path(sys.argv[2])\n"
        "print(here['digest'](here['trained'](embeddings)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "embeddings"), __file__],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.stdout.strip() == digest(trained(embeddings))


def test_it_learns_and_leaves_a_model_ready_to_use(embeddings: Embeddings) -> None:
    data, validation = parts(embeddings)
    classifier = model()
    history = train(classifier, data, replace(RECIPE, epochs=30), 0, validation)
    assert not classifier.training
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    tokens, labels = validation.batch(np.arange(len(validation)), torch.device("cpu"))
    with torch.inference_mode():
        hits = (classifier(tokens).logits.argmax(1) == labels).float().mean()
    assert hits > 0.75
    assert history[-1]["validation_accuracy"] == pytest.approx(float(hits))
    assert len(history) == 30
    for epoch, record in enumerate(history, start=1):
        assert record["epoch"] == epoch
        assert 0 < record["lr"] <= RECIPE.lr
        total = record["cross_entropy"] + 0.5 * record["diversity"] + 0.1 * record["l1_fm"]
        assert record["loss"] == pytest.approx(total, abs=1e-5)


def test_the_model_is_left_at_the_averaged_weights(
    embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedule-free training has two sets of weights; only the average is to be used."""
    made: list[AdamWScheduleFree] = []

    def remembered(*args: object, **kwargs: object) -> AdamWScheduleFree:
        made.append(AdamWScheduleFree(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(training, "AdamWScheduleFree", remembered)
    classifier = trained(embeddings)
    (optimizer,) = made
    before = [value.clone() for value in classifier.parameters()]
    optimizer.eval()  # changes nothing: that is where it is
    assert all(map(torch.equal, before, classifier.parameters()))
    optimizer.train()
    assert not any(map(torch.equal, before, classifier.parameters()))


def test_batch_norm_belongs_to_the_weights_that_are_left(embeddings: Embeddings) -> None:
    """Mean and variance of every training token, recomputed layer by layer."""
    classifier = trained(embeddings)
    data, _ = parts(embeddings)
    tokens, _ = data.batch(np.arange(len(data)), torch.device("cpu"))
    flat = tokens.flatten(0, 1)
    with torch.no_grad():
        for layer in classifier.adapter.layers:
            linear = layer.linear(flat)
            torch.testing.assert_close(
                layer.norm.running_mean, linear.mean(0), rtol=1e-4, atol=1e-5
            )
            torch.testing.assert_close(layer.norm.running_var, linear.var(0), rtol=1e-4, atol=1e-5)
            scaled = (linear - linear.mean(0)) / (linear.var(0, correction=0) + 1e-5).sqrt()
            flat = (scaled * layer.norm.weight + layer.norm.bias).relu()


def test_validation_images_never_influence_training(embeddings: Embeddings) -> None:
    data, validation = parts(embeddings)
    whole = np.concatenate(embeddings.patches)
    whole[validation.index] *= -1
    changed = replace(embeddings, patches=[whole])
    recipe = replace(RECIPE, epochs=12)
    digests, accuracies = [], []
    for store in (embeddings, changed):
        classifier = model()
        watched = LabelledTokens(store, validation.index)
        history = train(classifier, LabelledTokens(store, data.index), recipe, 0, watched)
        digests.append(digest(classifier))
        accuracies.append([record["validation_accuracy"] for record in history])
    assert digests[0] == digests[1]
    assert accuracies[0] != accuracies[1]


def test_statistics_are_estimated_on_training_images_alone(
    embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = parts(embeddings)
    expected = torch.from_numpy(embeddings.tokens(data.index)).float()
    estimate, calls = training.recalibrate_batch_norm, []

    def watched(adapter: Adapter, batches: Iterable[torch.Tensor], buffers: Buffers) -> None:
        calls.append([tokens.clone() for tokens in batches])
        estimate(adapter, calls[-1], buffers)

    monkeypatch.setattr(training, "recalibrate_batch_norm", watched)
    trained(embeddings)
    assert len(calls) == RECIPE.epochs + 1
    assert all(torch.equal(torch.cat(call), expected) for call in calls)


def test_watching_changes_no_more_than_rounding(embeddings: Embeddings) -> None:
    """Going to the average and back every epoch rounds, as the optimiser swaps in place."""
    data, _ = parts(embeddings)
    alone, watched = model(), trained(embeddings)
    train(alone, data, RECIPE, 0)
    tokens, _ = data.batch(np.arange(len(data)), torch.device("cpu"))
    with torch.inference_mode():
        logits = alone(tokens).logits, watched(tokens).logits
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("epochs", [1, 3])
def test_divergence_is_an_error_with_a_hint(embeddings: Embeddings, epochs: int) -> None:
    data, _ = parts(embeddings)
    recipe = replace(RECIPE, lr=1e37, epochs=epochs)
    with pytest.raises(
        NonFiniteError,
        match=rf"of {epochs}\. Lower the learning rate.*lr 1e\+37, div 0.5, l1_fm 0.1",
    ):
        train(model(), data, recipe, 0)


def test_divergence_in_the_very_last_step_is_seen(embeddings: Embeddings) -> None:
    """One batch: its loss is finite, the weights after it are not."""
    data, _ = parts(embeddings)
    recipe = replace(RECIPE, lr=1e37, epochs=1, batch=1000)
    with pytest.raises(NonFiniteError, match=r"holds NaN or infinity after epoch 1 of 1"):
        train(model(), data, recipe, 0)


def batch_output(seed: int) -> tuple[Output, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(5, 9, 4, generator=generator, requires_grad=True)
    weight = torch.randn(3, 4, generator=generator, requires_grad=True)
    vector = maps.mean(1)
    labels = torch.randint(0, 3, (5,), generator=generator)
    return Output(maps, vector, vector @ weight.T), weight, labels


@given(
    seed=st.integers(0, 999),
    div=st.sampled_from([0.0, 0.5, 2.0]),
    l1_fm=st.sampled_from([0.0, 1.0, 5.0]),
    l1_fv=st.sampled_from([0.0, 1.0]),
)
def test_the_loss_is_the_weighted_sum_of_its_parts(
    seed: int, div: float, l1_fm: float, l1_fv: float
) -> None:
    output, weight, labels = batch_output(seed)
    found = losses(output, weight, labels, replace(RECIPE, div=div, l1_fm=l1_fm, l1_fv=l1_fv))
    maps, vector, logits = output
    expected = (
        torch.nn.functional.cross_entropy(logits, labels)
        + div * diversity_loss(maps, vector, weight, logits)
        + l1_fm * l1_feature_maps(maps)
        + l1_fv * l1_feature_vector(vector)
    )
    torch.testing.assert_close(found["loss"], expected)
    for name, share in (("diversity", div), ("l1_fm", l1_fm), ("l1_fv", l1_fv)):
        assert found[name].requires_grad == (share > 0)
    got, wanted = (
        torch.autograd.grad(loss, [maps, weight], retain_graph=True)
        for loss in (found["loss"], expected)
    )
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_a_part_without_weight_cannot_spoil_the_loss() -> None:
    output, weight, labels = batch_output(0)
    broken = output._replace(feature_maps=output.feature_maps * torch.inf)
    found = losses(broken, weight, labels, replace(RECIPE, div=0.0, l1_fm=0.0))
    assert found["loss"].isfinite()
    assert not found["l1_fm"].isfinite()  # reported all the same


def test_every_image_is_seen_once_an_epoch(
    embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = parts(embeddings)
    seen: list[list[int]] = []
    gather = Embeddings.tokens

    def watched(self: Embeddings, index: np.ndarray, *rest: Any) -> torch.Tensor:
        seen.append(np.searchsorted(data.index, index).tolist())
        return gather(self, index, *rest)

    monkeypatch.setattr(Embeddings, "tokens", watched)
    train(model(), data, RECIPE, 0)
    epochs = [seen[start] + seen[start + 1] for start in (0, 2, 4)]
    assert [len(step) for step in seen[:6]] == [16, 14] * 3
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_means_are_over_images_and_not_over_batches(embeddings: Embeddings) -> None:
    """A small last batch counts for what it holds: with one step an epoch nothing changes."""
    data, _ = parts(embeddings)
    for batch, total in ((30, 30), (16, 30)):
        recipe = replace(RECIPE, batch=batch, epochs=1)
        (record,) = train(model(), data, recipe, 0)
        hits = record["train_accuracy"] * total
        assert hits == pytest.approx(round(hits), abs=1e-4)
