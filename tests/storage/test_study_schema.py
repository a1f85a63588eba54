"""The schema of study files: what the loader takes, and of what is wrong as much as it can say."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qpmstudy.errors import ConfigError
from shrunk_studies import STUDIES, shrunk
from storage.study import parse_study
from storage.study.schema import study_schema
from storage.study.yaml_file import read_yaml

FILES = sorted(STUDIES.glob("**/*.yaml"))
MINIMAL = {"name": "a", "space": {"finetune.l1_fm": {"values": [0, 1]}}}
EARLY = {"early_stopping": {"rungs": [{"after": "evaluate_dense"}], "keep": 0.5}}


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    made = study_schema()
    jsonschema.Draft7Validator.check_schema(made)
    return jsonschema.Draft7Validator(made)


def name(path: Path) -> str:
    return path.relative_to(STUDIES).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_study_that_comes_along_is_accepted(
    schema: jsonschema.Draft7Validator, path: Path
) -> None:
    schema.validate(read_yaml(path))
    schema.validate(shrunk(path).canonical())


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"pipeline": None},
        {"seeds": {"min": 2, "max": 10}},
        {
            "sampler": "tpe",
            "trials": 4,
            "space": {"dense.lr": {"low": 1e-3, "high": 1, "log": True}},
        },
        {"space": {"size": {"paths": ["adapter.hidden", "adapter.features"], "values": [64, 128]}}},
        {
            "space": {
                "select.method": {"values": ["qpm", "sldd"]},
                "finetune.l1_fm": {"values": [1, 2], "when": {"select.method": "qpm"}},
            }
        },
        {"space": {"which": {"variants": {"A": {"adapter.depth": 2}, "B": {}}}}},
        {"stages": {"dense": {"gpu": 0.5}}, "objectives": {"sid": "max"}, "parallel": 2},
        {"stages": {"dense": {"time_limit": "1h30m"}, "select": {"time_limit": " 3.5 H"}}},
        {**EARLY, "table": {"paper": "Table 1"}, "tensorboard": {"images": 0}},
    ],
    ids=lambda more: ",".join(more) or "minimal",
)
def test_what_the_loader_takes_the_schema_accepts(
    schema: jsonschema.Draft7Validator, more: dict[str, Any]
) -> None:
    parse_study(MINIMAL | more, "x.yaml")
    schema.validate(MINIMAL | more)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"name": "a b"}, "name"),
        ({"samplr": "grid"}, "samplr"),
        ({"sampler": "gird"}, "sampler"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": {"min": 2}}, "seeds"),
        ({"objectives": {"accurracy": "max"}}, "accurracy"),
        ({"objectives": {"accuracy": "up"}}, "objectives.accuracy"),
        ({"pipeline": {"finetune": {"l1fm": 2}}}, "l1fm"),
        ({"pipeline": {"finetune": {"lr": -1}}}, "pipeline"),
        ({"pipeline": {"select": {"solver": "cplex"}}}, "pipeline"),
        ({"pipeline": {"adapter": {"cls_statistics": "yes"}}}, "pipeline"),
        ({"space": {"dense.batch": {"low": 8}}}, "space.dense.batch"),
        ({"space": {"dense.lr": {"values": [0.1, -1]}}}, "space.dense.lr"),
        ({"space": {"dense.lr": {"values": []}}}, "space.dense.lr"),
        ({"space": {"size": {"paths": ["adapter.hiden"], "values": [1]}}}, "space.size"),
        ({"space": {"which": {"variants": {"A": {"adapter.dpth": 2}, "B": {}}}}}, "space.which"),
        ({"space": {}}, "space"),
        ({"stages": {"selekt": {}}}, "selekt"),
        ({"stages": {"dense": {"cpu": 0}}}, "stages.dense.cpu"),
        ({"stages": {"dense": {"time_limit": "2 hours"}}}, "stages.dense.time_limit"),
        ({"stages": {"dense": {"time_limit": 7200}}}, "stages.dense.time_limit"),
        ({"early_stopping": {"rungs": [{"after": "selekt"}]}}, "early_stopping"),
        ({"table": {"paper": "Table 9"}}, "table.paper"),
    ],
)
def test_what_is_wrong_is_marked_where_it_stands(
    schema: jsonschema.Draft7Validator, more: dict[str, Any], where: str
) -> None:
    with pytest.raises(ConfigError, match=r"x.yaml has \d+ error"):
        parse_study(MINIMAL | more, "x.yaml")
    (error,) = schema.iter_errors(MINIMAL | more)
    path = ".".join(map(str, error.absolute_path))
    assert path.startswith(where) or where in error.message


def test_a_study_needs_a_name_and_a_space(schema: jsonschema.Draft7Validator) -> None:
    found = {error.message for error in schema.iter_errors({})}
    assert found == {"'name' is a required property", "'space' is a required property"}


def test_every_key_says_what_it_means(schema: jsonschema.Draft7Validator) -> None:
    definitions = schema.schema["definitions"]
    for owner in (schema.schema, *definitions.values()):
        for key, inner in owner["properties"].items():
            assert inner.get("description") or "$ref" in inner, key
