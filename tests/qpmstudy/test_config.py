"""The configuration tree: paths, replacement, and rules between values."""

import re
from dataclasses import FrozenInstanceError, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from qpmstudy.config import (
    AdapterConfig,
    PipelineConfig,
    Range,
    SelectConfig,
    flatten,
    with_values,
)
from qpmstudy.contradictions import COMBINED, contradictions


def test_every_value_has_a_path_that_sets_it() -> None:
    before: dict[str, Any] = flatten(PipelineConfig())
    assert len(before) > 20
    for path, value in before.items():
        section, _, name = path.partition(".")
        hints = get_type_hints(get_type_hints(PipelineConfig)[section])
        choices = get_args(hints[name]) or ("other",)
        other: Any = choices[-1] if isinstance(value, str) else value + 1
        if isinstance(value, bool):
            other = not value
        after = flatten(with_values(PipelineConfig(), {path: other}))
        assert {p for p in after if after[p] != before[p]} == {path}
        assert after[path] == other


def test_several_values_at_once() -> None:
    config = with_values(PipelineConfig(), {"dense.lr": 0.5, "dense.epochs": 3, "select.gap": 0.1})
    assert (config.dense.lr, config.dense.epochs, config.select.gap) == (0.5, 3, 0.1)
    assert config.dense.batch == PipelineConfig().dense.batch
    assert with_values(config, {}) == config


def test_a_path_that_is_none() -> None:
    with pytest.raises(TypeError, match="speed"):
        with_values(PipelineConfig(), {"dense.speed": 1})
    with pytest.raises(AttributeError, match="densse"):
        with_values(PipelineConfig(), {"densse.lr": 1})


def test_a_configuration_cannot_change() -> None:
    with pytest.raises(FrozenInstanceError, match="lr"):
        PipelineConfig().dense.lr = 1  # type: ignore[misc]  # it is frozen


def test_defaults_lie_in_their_ranges() -> None:
    checked = 0
    for section in fields(PipelineConfig):
        kind: Any = get_type_hints(PipelineConfig)[section.name]
        for name, hint in get_type_hints(kind, include_extras=True).items():
            marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
            for mark in marks:
                assert isinstance(mark, Range)
                value = getattr(kind(), name)
                assert mark.ge is None or value >= mark.ge
                assert mark.gt is None or value > mark.gt
                assert mark.le is None or value <= mark.le
                assert mark.lt is None or value < mark.lt
                checked += 1
    assert checked > 15


@pytest.mark.parametrize(
    ("adapter", "features", "per_class", "wrong"),
    [
        (512, 50, 5, []),
        (50, 50, 50, []),
        (40, 50, 5, ["select.features = 50 is more than the adapter.features = 40"]),
        (512, 50, 51, ["select.per_class = 51 is more than select.features = 50"]),
        (2, 3, 4, ["select.features = 3 is more", "select.per_class = 4 is more"]),
    ],
)
def test_contradictions(adapter: int, features: int, per_class: int, wrong: list[str]) -> None:
    config = PipelineConfig(
        adapter=AdapterConfig(features=adapter),
        select=SelectConfig(features=features, per_class=per_class),
    )
    found = contradictions(config)
    assert len(found) == len(wrong)
    assert all(line.startswith(start) for line, start in zip(found, wrong, strict=True))


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"adapter.depth": 0}, "adapter.depth = 0 leaves nothing to fine-tune after select.method"),
        ({"adapter.depth": 0, "select.method": "none"}, None),
        ({"adapter.features": 9, "select.method": "none"}, None),
        ({"adapter.input": "cls", "adapter.pooling": "max"}, "adapter.pooling = max, but with"),
        ({"adapter.input": "both", "adapter.pooling": "max"}, None),
        ({"adapter.cls_statistics": True}, None),
        (
            {"adapter.cls_statistics": True, "adapter.input": "concat"},
            "adapter.cls_statistics = True is for adapter.input = patches .* not for concat",
        ),
        (
            {"adapter.cls_statistics": True, "adapter.depth": 0, "select.method": "none"},
            "adapter.cls_statistics = True .* not for patches with depth 0",
        ),
        ({"finetune.standardise": False}, None),
        (
            {"finetune.standardise": False, "select.method": "sldd"},
            "finetune.standardise = False, but the weights of select.method = sldd",
        ),
    ],
)
def test_contradictions_between_inputs_and_methods(
    values: dict[str, object], wrong: str | None
) -> None:
    assert values.keys() <= COMBINED  # or a study that searches one is judged by the other's
    found = contradictions(with_values(PipelineConfig(), values))
    assert len(found) == (wrong is not None)
    assert all(re.match(wrong or "", line) for line in found)


RESNET: dict[str, object] = {
    **{"adapter.kind": "resnet50", "embeddings.backbone": "pixels"},
    **{"dense.optimizer": "sgd", "finetune.optimizer": "sgd"},
}


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (RESNET, None),
        (RESNET | {"adapter.weights": "imagenet", "embeddings.backbone": "pixels-112"}, None),
        (RESNET | {"select.features": 600}, None),  # adapter.features = 512 say nothing
        (RESNET | {"adapter.depth": 0}, None),  # nor does the depth
        (RESNET | {"select.features": 2049}, "select.features = 2049 is more than the 2048"),
        (
            RESNET | {"embeddings.backbone": "patch-descriptor"},
            "adapter.kind = resnet50 is trained from pixels, but embeddings.backbone = patch-des",
        ),
        (
            RESNET | {"adapter.input": "cls"},
            "adapter.kind = resnet50 averages its own maps: .* cls",
        ),
        (RESNET | {"adapter.pooling": "max"}, ".* averages its own maps: .* not patches, max and"),
        (RESNET | {"dense.optimizer": "schedulefree"}, "dense.optimizer = schedulefree, but"),
        (RESNET | {"finetune.optimizer": "schedulefree"}, "finetune.optimizer = schedulefree, but"),
        (RESNET | {"finetune.optimizer": "schedulefree", "select.method": "none"}, None),
        ({"adapter.weights": "imagenet"}, "adapter.weights = imagenet, but nobody publishes"),
        ({"dense.optimizer": "sgd"}, None),
        ({"embeddings.backbone": "pixels"}, None),
    ],
)
def test_contradictions_of_a_network_trained_from_pixels(
    values: dict[str, object], wrong: str | None
) -> None:
    assert values.keys() <= COMBINED
    found = contradictions(with_values(PipelineConfig(), values))
    assert len(found) == (wrong is not None)
    assert all(re.match(wrong or "", line) for line in found)
