"""The stage graph: keys that share what may be shared and nothing else, and a whole run."""

import json
import re
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qpmstudy.config import PipelineConfig, flatten, with_values
from qpmstudy.embeddings import Embeddings
from qpmstudy.pipeline import run_pipeline, run_stage
from qpmstudy.stage_graph import STAGES, stage_keys
from qpmstudy.stages import StageOutput

EVERY = {"dense", "evaluate_dense", "select", "finetune", "evaluate"}
AFFECTED = {
    "embeddings": set(),  # the fingerprint speaks for the store, whatever it is called
    "split": EVERY,
    "adapter": EVERY,
    "dense": EVERY,
    "select": {"select", "finetune", "evaluate"},
    "finetune": {"finetune", "evaluate"},
    "evaluate": {"evaluate_dense", "evaluate"},
}
PATHS = sorted(flatten(PipelineConfig()))


def changed(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {stage for stage in one if one[stage] != other[stage]}


def test_inputs_come_before_their_stage() -> None:
    seen: set[str] = set()
    for stage in STAGES.values():
        assert set(stage.inputs) <= seen
        seen.add(stage.name)
    assert seen == EVERY


@given(
    path=st.sampled_from(PATHS),
    base=st.fixed_dictionaries(
        {}, optional={"dense.lr": st.floats(1e-4, 1), "select.gap": st.just(0.1)}
    ),
    number=st.integers(1, 1000),
    seed=st.integers(0, 5),
)
def test_a_value_changes_the_keys_of_its_stage_and_those_after_it(
    path: str, base: dict[str, object], number: int, seed: int
) -> None:
    config = with_values(PipelineConfig(), base)
    value: Any = flatten(config)[path]
    section, _, name = path.partition(".")
    choices = get_args(get_type_hints(get_type_hints(PipelineConfig)[section])[name]) or ("other",)
    other = choices[-1] if isinstance(value, str) else value + number
    if isinstance(value, bool):
        other = not value
    before = stage_keys(config, "f", seed)
    after = stage_keys(with_values(config, {path: other}), "f", seed)
    assert changed(before, after) == AFFECTED[path.partition(".")[0]]
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in after.values())
    assert len(set(after.values())) == len(EVERY)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 9), st.integers(0, 9))
def test_store_and_seed_enter_every_key(one: str, other: str, seed: int, next_seed: int) -> None:
    config = PipelineConfig()
    before = stage_keys(config, one, seed)
    assert changed(before, stage_keys(config, other, seed)) == (EVERY if one != other else set())
    assert changed(before, stage_keys(config, one, next_seed)) == (
        EVERY if seed != next_seed else set()
    )


def test_a_new_version_of_a_stage_renews_it_and_those_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = stage_keys(PipelineConfig(), "f", 0)
    monkeypatch.setitem(STAGES, "select", replace(STAGES["select"], version=99))
    assert changed(before, stage_keys(PipelineConfig(), "f", 0)) == AFFECTED["select"]


def test_a_whole_run_learns(outputs: dict[str, StageOutput]) -> None:
    """Six classes: chance is 1/6; the parts lie on the object."""
    for stage in ("evaluate_dense", "evaluate"):
        metrics = outputs[stage].facts["metrics"]
        assert isinstance(metrics, dict)
        assert set(metrics) == {"train", "validation", "test", "shift"}
        for split in ("validation", "test", "shift"):
            assert metrics[split]["accuracy"] > 0.75
            assert metrics[split]["plausibility"] > 0.7
        assert metrics["train"]["train_accuracy"] > 0.9
        for values in metrics.values():
            for name, value in values.items():
                assert 0 <= value <= (16 if name == "dead_features" else 1), name


def test_facts_are_json(outputs: dict[str, StageOutput]) -> None:
    assert set(outputs) == EVERY
    for output in outputs.values():
        facts = json.loads(json.dumps(dict(output.facts), allow_nan=False))
        assert facts == output.facts


def test_a_run_repeats_itself(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: dict[str, StageOutput]
) -> None:
    again = run_pipeline(tiny_config, embeddings, seed=0)
    for stage, output in outputs.items():
        for name, tensor in output.tensors.items():
            assert torch.equal(again[stage].tensors[name], tensor), (stage, name)


def test_seeds_differ(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: dict[str, StageOutput]
) -> None:
    config = with_values(tiny_config, {"dense.epochs": 1})
    runs = [run_stage("dense", config, embeddings, {}, seed).tensors for seed in (0, 1)]
    for name in ("index.validation", "classifier.head.weight", "features"):
        assert not torch.equal(runs[0][name], runs[1][name]), name


def test_a_stage_gets_its_inputs_and_no_others(
    tiny_config: PipelineConfig, embeddings: Embeddings, outputs: dict[str, StageOutput]
) -> None:
    only = {"finetune": outputs["finetune"]}
    alone = run_stage("evaluate", tiny_config, embeddings, only, 0)
    assert alone.facts == outputs["evaluate"].facts
    with pytest.raises(KeyError, match="select"):
        run_stage("finetune", tiny_config, embeddings, {"dense": outputs["dense"]}, 0)
