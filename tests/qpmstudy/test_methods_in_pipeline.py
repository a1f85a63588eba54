"""Every selection method through select, finetune and evaluate; the options of the selection."""

import importlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qpmstudy.columns import CERTIFICATE
from qpmstudy.config import FinetuneConfig, PipelineConfig, with_values
from qpmstudy.embeddings import Embeddings
from qpmstudy.explain import overlay_sheet
from qpmstudy.heads import SparseHead
from qpmstudy.pipeline import run_stage
from qpmstudy.selection import SelectionProblem, pair_penalties, relevance, similarity
from qpmstudy.selection.base import Progress
from qpmstudy.selection.locality import locality_bias
from qpmstudy.selection.methods import METHODS
from qpmstudy.stages import StageOutput
from qpmstudy.stages.finetune import recipes
from qpmstudy.stages.select import ProgressLog

Outputs = dict[str, StageOutput]
Run = Callable[[str], Outputs]


@pytest.fixture(scope="module")
def run(tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs) -> Run:
    """Return every stage of a method's run, on the dense model that all methods share."""
    done = {"qpm": outputs}

    def outputs_of(method: str) -> Outputs:
        if method not in done:
            config = with_values(tiny_config, {"select.method": method})
            own = {"dense": outputs["dense"]}
            for stage in ("select", "finetune", "evaluate"):
                own[stage] = run_stage(stage, config, embeddings, own, 0)
            done[method] = own
        return done[method]

    return outputs_of


each_method = pytest.mark.parametrize("method", METHODS.names())
elastic_net = pytest.mark.parametrize("method", ["sldd", "qsenn"])


@each_method
def test_a_method_runs_from_selection_to_metrics(
    run: Run, embeddings: Embeddings, method: str
) -> None:
    own = run(method)
    layer, tuned, evaluated = own["select"].tensors, own["finetune"], own["evaluate"]
    assert layer["weight"].shape == (6, 6)
    assert layer["bias"].shape == (6,)
    assert own["select"].facts["method"] == method
    model = tuned.classifier()
    assert 0 < int((model.weight != 0).sum()) <= 12
    metrics: Any = evaluated.facts["metrics"]
    for split in ("validation", "test", "shift"):
        assert metrics[split]["accuracy"] > 0.4  # chance is 1/6
        logits, index = (evaluated.tensors[f"{kind}.{split}"] for kind in ("logits", "index"))
        with torch.inference_mode():
            found = model(torch.from_numpy(embeddings.tokens(index.numpy())).float())
        torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-4)
    for output in own.values():
        assert all(tensor.isfinite().all() for tensor in output.tensors.values())
        facts = json.loads(json.dumps(dict(output.facts), allow_nan=False))
        assert facts == output.facts


@each_method
def test_a_head_adds_up_and_is_drawn(
    run: Run, embeddings: Embeddings, method: str, tmp_path: Path
) -> None:
    evaluated = run(method)["evaluate"]
    model = run(method)["finetune"].classifier()
    head = model.head
    assert isinstance(head, SparseHead)
    assert (head.bias is None) == (method == "qpm")
    index = evaluated.tensors["index.test"].numpy()
    with torch.inference_mode():
        output = model(torch.from_numpy(embeddings.tokens(index)).float())
        terms = model.weight * head.standardised(output.feature_vector).unsqueeze(1)
    total = terms.sum(2) + (0 if head.bias is None else head.bias)
    torch.testing.assert_close(total, output.logits, rtol=1e-4, atol=1e-4)
    assert overlay_sheet(evaluated, tmp_path).shape[2] == 3


@elastic_net
def test_methods_without_a_proof_say_so(run: Run, method: str) -> None:
    facts = run(method)["select"].facts
    assert {facts[name] for name in CERTIFICATE} == {None}
    assert facts["history"] == []


def test_sldd_is_finetuned_under_its_layer(run: Run) -> None:
    """Weights, bias, mean and deviation are those of the selection, before and after."""
    own = run("sldd")
    head, layer = own["finetune"].classifier().head, own["select"].tensors
    assert isinstance(head, SparseHead)
    assert torch.equal(head.weight, layer["weight"])
    assert head.bias is not None
    assert torch.equal(head.bias, layer["bias"])
    features = own["dense"].tensors["features"][:, layer["selected"]]
    torch.testing.assert_close(head.mean, features.mean(0))
    torch.testing.assert_close(head.std, features.std(0, correction=0))


def test_qsenn_decides_its_relations_anew(run: Run) -> None:
    own = run("qsenn")
    weight, first = own["finetune"].classifier().weight, own["select"].tensors["weight"]
    for layer in (weight, first):
        level = layer.abs().max()
        assert set(layer.unique().tolist()) == {-float(level), 0.0, float(level)}
        assert int((layer != 0).sum()) == 12
    assert not torch.equal(weight, first)
    assert torch.equal(own["finetune"].tensors["selected"], own["select"].tensors["selected"])
    history: Any = own["finetune"].facts["history"]
    assert [record["epoch"] for record in history] == [*range(1, 46)]  # 10, 10, 10 and 15


def test_without_training_all_rounds_of_qsenn_agree(
    run: Run, tiny_config: PipelineConfig, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves the features, so nothing changes what they mean."""
    module = importlib.import_module("qpmstudy.stages.finetune")
    monkeypatch.setattr(module, "train", lambda model, *_: model.eval())
    config = with_values(tiny_config, {"select.method": "qsenn"})
    tuned = run_stage("finetune", config, embeddings, run("qsenn"), 0)
    layer, head = run("qsenn")["select"].tensors, tuned.classifier().head
    # each path is solved to a hundredth of its penalty
    torch.testing.assert_close(head.weight, layer["weight"], rtol=0.05, atol=0)
    torch.testing.assert_close(head.bias, layer["bias"], rtol=0.1, atol=0.05)
    features = run("qsenn")["dense"].tensors["features"][:, layer["selected"]]
    torch.testing.assert_close(head.mean, features.mean(0), rtol=1e-4, atol=1e-5)


def test_the_rounds_of_qsenn_are_short_but_the_last() -> None:
    config = FinetuneConfig(epochs=50, lr=1.0, l1_fm=2.0)
    (only,) = recipes(config, METHODS.get("qpm"))
    assert (only.epochs, only.lr, only.l1_fm) == (50, 1.0, 2.0)
    rounds = recipes(config, METHODS.get("qsenn"))
    assert [recipe.epochs for recipe in rounds] == [10, 10, 10, 50]
    assert [recipe.lr for recipe in rounds] == pytest.approx([1.0, 0.9, 0.81, 0.729])
    assert {recipe.l1_fm for recipe in rounds} == {2.0}
    short = recipes(replace(config, epochs=3), METHODS.get("qsenn"))
    assert [recipe.epochs for recipe in short] == [3, 3, 3, 3]
    equal = recipes(replace(config, epochs=25, early_epochs=25), METHODS.get("qsenn"))
    assert [recipe.epochs for recipe in equal] == [25, 25, 25, 25]


def test_rounds_are_told_as_one_history(
    run: Run, tiny_config: PipelineConfig, embeddings: Embeddings
) -> None:
    told: list[dict[str, float]] = []
    config = with_values(tiny_config, {"select.method": "qsenn", "finetune.epochs": 2})
    tuned = run_stage("finetune", config, embeddings, run("qsenn"), 0, told.append)
    assert tuned.facts["history"] == told
    assert [record["epoch"] for record in told] == [*range(1, 9)]


def test_sid_is_measured_on_the_classes_that_have_enough_features(
    run: Run, tiny_config: PipelineConfig, embeddings: Embeddings
) -> None:
    """k is the mean number of a class; the images of classes with fewer are counted."""
    tuned = run("sldd")["finetune"]
    weight = torch.zeros(6, 6)
    weight[0, :5], weight[1, 0], weight[2, :2] = 1.0, 1.0, 1.0
    weight[3, :2], weight[4, :2] = -1.0, 1.0
    tensors = {**tuned.tensors, "classifier.head.weight": weight}
    changed = {"finetune": StageOutput(tensors, tuned.facts)}
    evaluated = run_stage("evaluate", tiny_config, embeddings, changed, 0)
    assert evaluated.facts["sid_k"] == 2  # 12 weights, 6 classes
    few = torch.tensor([1, 5])
    left_out: Any = evaluated.facts["sid_left_out"]
    for split, count in left_out.items():
        predicted = evaluated.tensors[f"logits.{split}"].argmax(1)
        assert count == int(torch.isin(predicted, few).sum())
    assert sum(left_out.values()) > 0


def problem(outputs: Outputs, rule: str, bias: np.ndarray | None) -> SelectionProblem:
    dense = outputs["dense"].tensors
    A = relevance(dense["features"].numpy(), dense["labels"].numpy()).normalised
    return SelectionProblem(A, pair_penalties(similarity(A), 6, rule), bias, 6, 2)


def certified(selection: StageOutput, of: SelectionProblem) -> float:
    """Return what the stage's answer is worth in a problem."""
    weight = selection.tensors["weight"].bool().numpy()
    return of.objective(selection.tensors["selected"].numpy(), weight)


@pytest.mark.parametrize("rule", ["correct", "reference"])
def test_the_pair_rule_is_that_of_the_problem_solved(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs, rule: str
) -> None:
    config = with_values(tiny_config, {"select.pair_rule": rule})
    selection = run_stage("select", config, embeddings, outputs, 0)
    value = certified(selection, problem(outputs, rule, None))
    assert selection.facts["objective"] == pytest.approx(value)
    other = {"correct": "reference", "reference": "correct"}[rule]
    assert certified(selection, problem(outputs, other, None)) != pytest.approx(value)


def test_the_locality_bias_is_that_of_the_dense_models_maps(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    config = with_values(tiny_config, {"select.bias": "locality"})
    selection = run_stage("select", config, embeddings, outputs, 0)
    index = outputs["dense"].tensors["index.train"].numpy()
    with torch.inference_mode():
        output = outputs["dense"].classifier()(torch.from_numpy(embeddings.tokens(index)).float())
    b = locality_bias([(output.feature_maps, output.feature_vector)], embeddings.grid)
    assert np.abs(b).max() > 0.3
    value = certified(selection, problem(outputs, "correct", b))
    assert selection.facts["objective"] == pytest.approx(value, abs=1e-4)
    assert certified(selection, problem(outputs, "correct", None)) != pytest.approx(value, abs=1e-3)


def test_dead_features_are_counted_and_not_used(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    assert outputs["select"].facts["dead_features"] == 0
    dense = outputs["dense"]
    features = dense.tensors["features"].clone()
    features[:, [2, 9]] = torch.tensor([0.0, 0.3])
    dying = {"dense": StageOutput({**dense.tensors, "features": features}, dense.facts)}
    for method in METHODS.names():
        config = with_values(tiny_config, {"select.method": method})
        selection = run_stage("select", config, embeddings, dying, 0)
        assert selection.facts["dead_features"] == 2
        assert not {2, 9} & set(selection.tensors["selected"].tolist())


def test_progress_is_told_and_kept(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    told: list[dict[str, float]] = []
    config = with_values(tiny_config, {"select.gap": 0.0})
    selection = run_stage("select", config, embeddings, outputs, 0, told.append)
    assert selection.facts["history"] == told
    assert [record["epoch"] for record in told] == [*range(1, len(told) + 1)]
    assert told[-1]["objective"] == pytest.approx(selection.facts["objective"])
    assert told[-1]["bound"] == pytest.approx(selection.facts["bound"])
    for record in told:
        assert set(record) <= {"epoch", "time", "elapsed", "objective", "bound", "gap"}


def test_what_took_over_and_why_is_a_fact(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: Outputs
) -> None:
    config = with_values(tiny_config, {"select.solver": "auto"})
    withheld = {"gurobi": "no node offers a token"}
    selection = run_stage("select", config, embeddings, outputs, 0, withheld=withheld)
    assert selection.facts["fallback"] == "no node offers a token"
    assert selection.facts["solver"] == "lagrangian"
    assert torch.equal(selection.tensors["weight"], outputs["select"].tensors["weight"])


@pytest.mark.parametrize("duration", [0.5, 60.0, 10800.0])
def test_steps_are_thinned_out_but_for_the_first_and_last(duration: float) -> None:
    told: list[dict[str, float]] = []
    log = ProgressLog(duration, told.append)
    times = np.unique([*np.geomspace(1e-5, duration, 5000), *np.linspace(0, duration, 5000)])
    steps = [Progress(float(t), float(t), 2 * duration) for t in times]
    for step in steps:
        log.note(step)
    records = log.finish()
    assert records == told
    elapsed = [record["elapsed"] for record in records]
    assert elapsed[0] == steps[0].seconds
    assert elapsed[-1] == steps[-1].seconds
    assert 90 < len(records) < 200
    late = np.diff([t for t in elapsed if t > duration / 10])
    assert late[:-1].max() < 0.011 * duration + 1e-2
    assert [record["epoch"] for record in records] == [*range(1, len(records) + 1)]


def test_what_is_not_bounded_yet_is_left_out() -> None:
    log = ProgressLog(1.0, None)
    log.note(Progress(0.0, 5.0, math.inf))
    log.note(Progress(0.5, 5.0, 6.0))
    first, last = log.finish()
    assert set(first) == {"epoch", "time", "elapsed", "objective"}
    assert (last["bound"], last["gap"]) == (6.0, pytest.approx(0.2))
    assert ProgressLog(1.0, None).finish() == []
