"""Specifications: what is accepted, and every mistake told with its path and what was meant."""

import json
import math
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpmstudy.config import PipelineConfig, flatten, with_values
from qpmstudy.errors import ConfigError
from storage.study import differences, grid, parse_study
from storage.study.space import MAX_GRID, settings, values_in


def errors(text: dict[str, Any]) -> list[str]:
    """Return the sentences of the error that a specification raises."""
    with pytest.raises(ConfigError, match=r"x.yaml has \d+ error\(s\)") as caught:
        parse_study(text, "x.yaml")
    first, *rest = str(caught.value).splitlines()
    assert first == f"x.yaml has {len(rest)} error(s):"
    return [line.removeprefix("  - ") for line in rest]


def spaced(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "space": {"finetune.l1_fm": {"values": [0, 1]}}, **changes}


def test_all_errors_are_told_together_with_their_paths() -> None:
    found = errors(
        {
            "name": "a b",
            "seeds": 0,
            "samplr": "grid",
            "pipeline": {"finetune": {"lr": -1, "l1fm": 2}, "densse": {}, "select": "all"},
            "space": {
                "finetun.l1_fm": {"values": [0]},
                "dense.lr": {"values": [0.1, -1]},
                "dense.epochs": {"values": []},
                "dense.batch": {"low": 8},
            },
            "objectives": {"accurracy": "max", "sid": "up"},
            "stages": {"selekt": {}, "dense": {"cpu": 0}},
        }
    )
    expected = {
        "pipeline.finetune.lr: Input should be greater than 0 (got -1).",
        "pipeline.finetune.l1fm: there is no such key. Did you mean 'finetune.l1_fm'?",
        "pipeline.densse: there is no such key. Did you mean 'dense'?",
        "samplr: there is no such key. Did you mean 'sampler'?",
        "seeds: Input should be greater than or equal to 1 (got 0).",
        "space.finetun.l1_fm: the configuration has no value 'finetun.l1_fm'. "
        "Did you mean 'finetune.l1_fm'?",
        "space.dense.lr: Input should be greater than 0 (got -1).",
        "space.dense.epochs: `values` is empty: a parameter needs at least one value "
        "(got {'values': []}).",
        "space.dense.batch: a range needs both `low` and `high` (got {'low': 8}).",
        "objectives.sid: Input should be 'max' or 'min' (got 'up').",
        "stages.dense.cpu: Input should be greater than 0 (got 0).",
    }
    assert expected <= set(found), expected - set(found)
    rest = sorted(line.split(":")[0] for line in set(found) - expected)
    assert rest == ["name", "objectives.accurracy", "pipeline.select", "stages.selekt"]
    assert sum("Did you mean 'accuracy'" in line for line in found) == 1
    assert sum("Did you mean 'select'" in line for line in found) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "give one of `values"),
        ({"values": [1], "low": 0, "high": 1}, "give one of `values"),
        ({"values": [1, 1.0]}, "holds a value twice"),
        ({"values": [1], "log": True}, "go with `low` and `high`"),
        ({"values": [1], "step": 1}, "go with `low` and `high`"),
        ({"values": ["1"]}, "valid number (got '1')"),
        ({"values": [True]}, "valid number (got True)"),
        ({"values": [None]}, "(got None)"),
        ({"values": [float("nan")]}, "finite number"),
        ({"low": 2, "high": 1}, "`low` (2) must be below `high` (1)"),
        ({"low": 0, "high": 1, "log": True}, "`log` needs a `low` above 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "exclude each other"),
        ({"low": 0.1, "high": 1, "step": 0}, "`step` must be above 0"),
        ({"low": 0.1, "high": float("inf")}, "`high` must be a finite number, not inf"),
        ({"low": 0.1, "high": 1, "step": float("nan")}, "`step` must be a finite number, not nan"),
        ({"low": -1, "high": 1, "step": 1}, "greater than 0 (got -1)"),
        ({"low": 0.1, "high": 1}, "a grid needs `values`, or a `step`"),
        ({"low": 0.1, "high": 1, "step": 1e-12}, f"configurations, more than {MAX_GRID}"),
        ({"vals": [1]}, "there is no such key"),
        ([1, 2], "valid dictionary"),
    ],
)
def test_entries_that_cannot_be(entry: object, message: str) -> None:
    found = errors({"name": "a", "space": {"dense.lr": entry}})
    assert all(line.startswith("space") for line in found)
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {}}, "space: Dictionary should have at least 1 item"),
        ({"space": None}, "space: Input should be a valid dictionary"),
        ({"space": {"adapter.hidden": {"low": 1, "high": 10**9}}}, "has 1000000000 config"),
        (
            {"space": {"adapter.hidden": {"low": 8, "high": 64, "step": 2.5}}},
            "adapter.hidden takes whole numbers, so `step` must be one (got 2.5)",
        ),
        ({"space": {"adapter.hidden": {"values": [8.5]}}}, "valid integer (got 8.5)"),
        ({"space": {"select.solver": {"values": ["cplex"]}}}, "'gurobi' or 'highs' (got 'cplex')"),
        (
            {
                "space": {
                    "dense.lr": {"values": [0.1]},
                    "both": {"paths": ["dense.lr"], "values": [1]},
                }
            },
            "space.both: 'dense.lr' is also set by 'dense.lr'",
        ),
        (
            {"space": {"split.validation": {"values": [0, 0.2]}}},
            "split.validation cannot be searched",
        ),
        ({"pipeline": []}, "pipeline: Input should be a valid dictionary"),
        ({"pipeline": {"select": {"features": 600}}}, "select.features = 600 is more than"),
        ({"pipeline": {"split": {"validation": 0}}}, "0 leaves nothing to search on"),
        ({"pipeline": {"split": {"validation": 0.6}}}, "less than or equal to 0.5 (got 0.6)"),
        ({"pipeline": {"dense": {"lr": float("inf")}}}, "finite number"),
        ({"trials": 5}, "the grid has 2 configurations (got 5)"),
        ({"sampler": "tpe"}, "the sampler 'tpe' needs a number of trials"),
        ({"sampler": "bayes"}, "'random', 'tpe', 'nsga2' or 'gp' (got 'bayes')"),
        (
            {"seeds": "3"},
            "seeds: Input should be a valid integer, or {min: ..., max: ...} (got '3')",
        ),
        (
            {"seeds": True},
            "seeds: Input should be a valid integer, or {min: ..., max: ...} (got True)",
        ),
        ({"seeds": 1001}, "seeds: Input should be less than or equal to 1000 (got 1001)"),
        ({"seeds": {"min": 3}}, "seeds.max: this key is required"),
        ({"seeds": {"min": 3, "max": 2}}, "seeds: `min` (3) must not be above `max` (2)"),
        ({"seeds": {"min": 1, "max": 2}}, "seeds: `min` must be 2 at least"),
        ({"seeds": {"min": 2, "max": 4, "step": 1}}, "seeds.step: there is no such key"),
        ({"seeds": {"min": 2.0, "max": 4}}, "seeds.min: Input should be a valid integer"),
        ({"objectives": {}}, "objectives: Dictionary should have at least 1 item"),
        ({"protocol": "test"}, "protocol: Input should be 'validation' or 'paper'"),
        ({"name": "../a"}, "name: String should match pattern"),
        ({"name": "_artifacts"}, "name: String should match pattern"),
        (
            {"stages": {"dense": {"cpu": float("inf")}}},
            "stages.dense.cpu: Input should be a finite",
        ),
        (
            {"stages": {"dense": {"time_limit": 7200}}},
            "stages.dense.time_limit: takes a time such as 90m, 1h30m or 2.5h, above 0 (got 7200)",
        ),
        ({1: 2}, "1: Keys should be strings"),
        ({True: 2}, "Keys should be strings"),
    ],
)
def test_studies_that_cannot_be(changes: dict[Any, Any], message: str) -> None:
    found = errors(spaced() | changes)
    assert any(message in line for line in found), found


SOLVES = {"pipeline": {"select": {"time_limit": 600}}}
RANGE = {"sampler": "random", "trials": 2, "space": {"select.time_limit": {"low": 60, "high": 900}}}
VALUES = {"space": {"select.time_limit": {"values": [60, 900]}}}


@pytest.mark.parametrize(
    ("changes", "limit", "solving"),
    [({}, "3h", "3h"), (SOLVES, "9m", "10m"), (RANGE, "10m", "15m"), (VALUES, "15m", "15m")],
)
def test_a_selection_has_more_time_than_its_solver(
    changes: dict[str, Any], limit: str, solving: str
) -> None:
    (line,) = errors(spaced(**changes, stages={"select": {"time_limit": limit}}))
    assert line.startswith(f"stages.select.time_limit: {limit} ends a stage whose solver may take ")
    assert f"may take {solving} by select.time_limit = " in line
    longer = spaced(**changes, stages={"select": {"time_limit": f"{limit}6m"}})
    spec = parse_study(longer, "x")
    assert spec.resources("select").limit_seconds > spec.most("select.time_limit")


def test_other_stages_and_methods_know_no_solver() -> None:
    quick = {name: {"time_limit": "1m"} for name in ("dense", "finetune", "evaluate")}
    spec = parse_study(spaced(stages=quick), "x")
    assert [spec.resources(name).limit_seconds for name in ("dense", "select")] == [60, math.inf]
    older = {"pipeline": {"select": {"method": "sldd"}}, "stages": {"select": {"time_limit": "1m"}}}
    assert parse_study(spaced(**older), "x").resources("select").limit_seconds == 60


def test_missing_keys_are_named() -> None:
    assert errors({}) == ["name: this key is required.", "space: this key is required."]


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_a_study_is_a_mapping(content: object) -> None:
    with pytest.raises(ConfigError, match=r"x.yaml must be a mapping with the keys name"):
        parse_study(content, "x.yaml")


def test_the_combinations_of_a_grid_are_checked() -> None:
    space = {
        "adapter.features": {"values": [32, 64]},
        "select.features": {"values": [16, 48]},
    }
    (line,) = errors({"name": "a", "space": space})
    assert line == (
        "space: with {'adapter.features': 32, 'select.features': 48}, select.features = 48 is "
        "more than the adapter.features = 32 there are to select from."
    )


def test_what_the_space_decides_is_not_held_against_the_pipeline() -> None:
    """Depth 0 suits the linear probe alone; whether it is one, the space says."""
    study = {"name": "a", "pipeline": {"adapter": {"depth": 0}}}
    random = {"sampler": "random", "trials": 2}
    (line,) = errors(study | random | {"space": {"dense.lr": {"values": [0.1, 0.2]}}})
    assert line.startswith("pipeline: adapter.depth = 0 leaves nothing to fine-tune")
    methods = {"space": {"select.method": {"values": ["none", "qpm"]}}}
    (line,) = errors(study | methods)
    assert line.startswith("space: with {'select.method': 'qpm'}, adapter.depth = 0 leaves")
    assert parse_study(study | random | methods, "x").configurations == 2


def test_both_l1_losses_are_one_only_where_features_are_mean_maps() -> None:
    space = {"finetune.l1_fm": {"values": [0, 1]}, "finetune.l1_fv": {"values": [0, 1]}}

    def warned(**adapter: object) -> bool:
        study = {"name": "a", "space": space, "pipeline": {"adapter": adapter}}
        return any("one loss" in note for note in parse_study(study, "x").notes())

    assert warned()
    assert not warned(pooling="max")
    assert not warned(input="cls")


def test_a_path_shared_by_two_values_of_different_types() -> None:
    entry = {"paths": ["finetune.l1_fm", "dense.batch"], "values": [1, 2]}
    spec = parse_study({"name": "a", "space": {"both": entry}}, "x")
    chosen = [settings(spec.parameters, point) for point in grid(spec.parameters)]
    assert chosen == [{"finetune.l1_fm": v, "dense.batch": v} for v in (1, 2)]
    assert [type(value) for value in chosen[0].values()] == [float, int]


def test_the_papers_protocol_trains_on_everything() -> None:
    spec = parse_study(spaced(protocol="paper"), "x")
    assert spec.pipeline.split.validation == 0
    assert spec.objective_split == "test"
    assert parse_study(spec.canonical(), "x") == spec


NUMBERS = st.floats(min_value=1e-6, max_value=1e6)


@hypothesis.settings(deadline=None)  # the first call builds every validator
@given(
    lr=NUMBERS,
    epochs=st.integers(1, 10**6),
    values=st.lists(NUMBERS, min_size=1, max_size=4, unique=True),
    low=st.integers(1, 50),
    width=st.integers(1, 50),
    seeds=st.integers(1, 1000),
    paper=st.booleans(),
)
def test_canonical_form_is_the_study(
    lr: float,
    epochs: int,
    values: list[float],
    low: int,
    width: int,
    seeds: int,
    paper: bool,
) -> None:
    spec = parse_study(
        {
            "name": "a",
            "pipeline": {"dense": {"lr": lr, "epochs": epochs}},
            "space": {
                "finetune.l1_fm": {"values": values},
                "evaluate.sid_k": {"low": low, "high": low + width},
            },
            "seeds": seeds,
            "protocol": "paper" if paper else "validation",
        },
        "x",
    )
    stored = json.loads(json.dumps(spec.canonical()))
    again = parse_study(stored, "study.json")
    assert again == spec
    assert again.canonical() == spec.canonical()
    assert differences(stored, again.canonical()) == []
    assert spec.configurations == len(values) * (width + 1)


def test_seeds_are_a_number_or_bounds() -> None:
    one, two = (parse_study(spaced(seeds=s), "x").seeds for s in (3, {"min": 2, "max": 10}))
    assert (one.min, one.max, one.adaptive, str(one)) == (3, 3, False, "3")
    assert (two.min, two.max, two.adaptive, str(two)) == (2, 10, True, "2 to 10")
    for seeds in (one, two):
        stored = json.loads(json.dumps(parse_study(spaced(seeds=seeds), "x").canonical()))
        assert parse_study(stored, "x").seeds == seeds
    assert parse_study(spaced(seeds=3), "x").canonical()["seeds"] == 3


CONDITIONAL = {
    "select.method": {"values": ["qpm", "sldd", "none"]},
    "select.per_class": {"values": [3, 5], "when": {"select.method": "qpm"}},
    "select.pair_rule": {"values": ["correct", "reference"], "when": {"select.per_class": [5]}},
}


def test_a_conditional_value_is_varied_where_its_condition_holds() -> None:
    spec = parse_study({"name": "a", "space": CONDITIONAL}, "x")
    points = grid(spec.parameters)
    assert [tuple(point.values()) for point in points] == [
        ("qpm", 3),
        ("qpm", 5, "correct"),
        ("qpm", 5, "reference"),
        ("sldd",),
        ("none",),
    ]
    for point in points:
        row = flatten(with_values(spec.pipeline, settings(spec.parameters, point)))
        assert values_in(spec.parameters, row) == point
        if "select.per_class" not in point:
            assert row["select.per_class"] == PipelineConfig().select.per_class
    assert parse_study(json.loads(json.dumps(spec.canonical())), "x") == spec
    # what applies where it is not varied may be read, too
    narrow = {"adapter.input": {"values": ["cls", "both"], "when": {"select.method": "qpm"}}}
    spec = parse_study({"name": "a", "space": CONDITIONAL | narrow}, "x")
    assert spec.choices("adapter.input") == ("cls", "both", "patches")


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"select.methd": "qpm"}, "no parameter is called so (got 'select.methd')"),
        ({"select.pair_rule": "correct"}, "no parameter stands above it in `space`"),
        ({"select.per_class": 3}, "no parameter stands above it in `space`"),
        ({"select.method": "qsenn"}, "select.method never is 'qsenn', only qpm, sldd, none"),
        ({"select.method": []}, "select.method needs at least one value"),
        ({"dense.lr": 0.1}, "dense.lr is a range; a condition needs `values` of it"),
        (["select.method"], "space.select.per_class.when: Input should be a valid dictionary"),
    ],
)
def test_conditions_that_cannot_be(when: object, message: str) -> None:
    entry = CONDITIONAL["select.per_class"] | {"when": when}
    space = {"dense.lr": {"low": 0.1, "high": 0.2, "step": 0.1}} | CONDITIONAL
    found = errors({"name": "a", "space": space | {"select.per_class": entry}})
    assert any(message in line for line in found), found


def test_differences_name_every_path() -> None:
    old = parse_study(spaced(seeds=2), "x").canonical()
    new = parse_study(
        spaced(
            seeds=4,
            pipeline={"dense": {"lr": 0.5}},
            space={"finetune.l1_fm": {"values": [0, 2]}, "finetune.l1_fv": {"values": [1]}},
        ),
        "x",
    ).canonical()
    lines = differences(old, new)
    assert lines[0] == "pipeline.dense.lr: 0.001 before, 0.5 now"
    assert lines[1] == "seeds: 2 before, 4 now"
    assert lines[2] == "space.finetune.l1_fm.values: [0, 1] before, [0, 2] now"
    assert lines[3].startswith("space.finetune.l1_fv: None before, {")
    assert differences(old, old) == []


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_a_stepped_range_stays_inside_and_keeps_its_ends(low: int, width: int, step: int) -> None:
    entry = {"low": low, "high": low + width, "step": step}
    spec = parse_study({"name": "a", "space": {"dense.batch": entry}}, "x")
    levels = [point["dense.batch"] for point in grid(spec.parameters)]
    assert levels == list(range(low, low + width + 1, step))


def test_a_grid_is_every_combination_once() -> None:
    space = {
        "finetune.l1_fm": {"values": [0, 1, 2]},
        "dense.div": {"low": 0, "high": 1, "step": 0.25},
    }
    spec = parse_study({"name": "a", "space": space}, "x")
    points = [tuple(point.values()) for point in grid(spec.parameters)]
    assert len(points) == len(set(points)) == spec.configurations == 15
    assert {div for _, div in points} == {0, 0.25, 0.5, 0.75, 1}


def test_steps_of_a_range_are_the_numbers_one_would_write() -> None:
    spec = parse_study(
        {"name": "s", "space": {"finetune.l1_fm": {"low": 0.1, "high": 0.7, "step": 0.1}}}, "test"
    )
    assert spec.parameters[0].levels() == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def test_a_contradiction_is_told_once_and_beside_other_errors() -> None:
    select = {"features": 100, "per_class": 300}
    content = {
        **{"name": "a", "pipeline": {"adapter": {"features": 64}, "select": select}},
        "space": {"finetune.l1_fm": {"values": [0, 1, 4]}},
    }
    both = [
        "pipeline: select.features = 100 is more than the adapter.features = 64 there are to "
        "select from.",
        "pipeline: select.per_class = 300 is more than select.features = 100.",
    ]
    assert errors(content) == both
    worse = errors({**content, "seeds": -1, "objectives": {"acuracy": "max"}})
    assert [line.partition(":")[0] for line in worse[:2]] == ["seeds", "objectives.acuracy"]
    assert worse[2:] == both
    assert errors({**content, "sampler": "tpe", "seeds": 0})[1:] == [
        *both, "trials: the sampler 'tpe' needs a number of trials."
    ]  # fmt: skip
    searched = {"select.gap": {"values": [0.1, 0.2]}, "select.per_class": {"values": [3, 5]}}
    (one,) = errors({"name": "a", "pipeline": {"select": {"features": 4}}, "space": searched})
    assert one == (
        "space: with {'select.gap': 0.1, 'select.per_class': 5} and 1 more, select.per_class = 5 "
        "is more than select.features = 4."
    )
