"""The JSON schema of study files, by which editors complete and check them.

It accepts every file that `load_study` does. What no schema can say, such as rules between values,
only `load_study` refuses.
"""

from dataclasses import fields
from typing import Any, get_type_hints

from qpmstudy.columns import SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.paper import TABLES
from qpmstudy.stage_graph import STAGES
from storage.study.descriptions import meanings
from storage.study.spec import StudySpec
from storage.study.validation import Frozen, model_of, value_adapter

DIALECT = "http://json-schema.org/draft-07/schema#"  # which editors know best
Schema = dict[str, Any]


def study_schema() -> Schema:
    """Return the schema as JSON types."""
    schema = StudySpec.model_json_schema()
    pipeline = model_of(PipelineConfig).model_json_schema()
    definitions: dict[str, Schema] = schema.pop("$defs") | pipeline.pop("$defs")
    definitions["PipelineConfig"] = pipeline
    _refine_space(definitions)
    _refine(schema["properties"], definitions)
    for name, owner in owners().items():
        _describe(schema if owner is StudySpec else definitions[name], owner)
    return {
        "$schema": DIALECT,
        "$comment": "made by tests/reference.py",
        **_plain(schema),
        "title": "A study of qpmstudy",
        "definitions": {name: _plain(definitions[name]) for name in sorted(definitions)},
    }


def owners() -> dict[str, type]:
    """Return every class whose fields are keys of a study file, by its name."""
    hints = get_type_hints(PipelineConfig)
    models = (model for model in Frozen.__subclasses__() if model.__module__ != Frozen.__module__)
    sections = (hints[field.name] for field in fields(PipelineConfig))
    return {owner.__name__: owner for owner in (*models, PipelineConfig, *sections)}


def _refine(keys: dict[str, Schema], definitions: dict[str, Schema]) -> None:
    """Say of the keys of a study what their Python types do not."""
    number = dict(definitions["Seeds"]["properties"]["min"])
    keys["seeds"] = {"default": 3, "anyOf": [number, {"$ref": "#/$defs/Seeds"}]}
    keys["pipeline"] = {"anyOf": [{"$ref": "#/$defs/PipelineConfig"}, {"type": "null"}]}
    keys["objectives"]["propertyNames"] = {"enum": [*SPLIT_METRICS, *TRAINING_METRICS]}
    keys["stages"]["propertyNames"] = {"enum": list(STAGES)}
    definitions["TableSpec"]["properties"]["paper"] = {"enum": [*TABLES, None], "default": None}
    paths = flatten(PipelineConfig())
    keys["space"]["properties"] = {path: _entry(path) for path in paths}


def _refine_space(definitions: dict[str, Schema]) -> None:
    """Say of an entry of `space` which forms there are, and which paths."""
    paths = list(flatten(PipelineConfig()))
    definitions["Values"] = {
        "type": "object",
        "properties": {path: _value(path) for path in paths},
        "additionalProperties": False,
    }
    entry = definitions["SpaceEntry"]
    labelled = {"$ref": "#/$defs/Values"}
    entry["properties"] |= {
        "paths": _or_null({"type": "array", "items": {"enum": paths}}),
        "variants": _or_null(
            {"type": "object", "additionalProperties": labelled, "minProperties": 2}
        ),
    }
    scalar = {"type": ["boolean", "number", "string"]}
    several = {"anyOf": [scalar, {"type": "array", "items": scalar}]}
    entry["properties"]["values"] = _or_null({"type": "array", "items": scalar, "minItems": 1})
    entry["properties"]["when"] = _or_null({"type": "object", "additionalProperties": several})
    entry["oneOf"] = [
        {"required": ["values"], "properties": {"values": {"type": "array"}}},
        {
            "required": ["low", "high"],
            "properties": {"low": {"type": "number"}, "high": {"type": "number"}},
        },
        {"required": ["variants"], "properties": {"variants": {"type": "object"}}},
    ]


def _value(path: str) -> Schema:
    section, _, name = path.partition(".")
    meaning = meanings(get_type_hints(PipelineConfig)[section])[name]
    return {**value_adapter(path).json_schema(), "description": str(meaning)}


def _entry(path: str) -> Schema:
    """Return the schema of the entry that bears a path's name: its values are of that type."""
    items = {"items": {"$ref": f"#/$defs/Values/properties/{path}"}}
    named = {"required": ["paths"], "properties": {"paths": {"type": "array", "minItems": 1}}}
    return {
        "allOf": [
            {"$ref": "#/$defs/SpaceEntry"},
            {"if": named, "else": {"properties": {"values": items}}},
        ]
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}], "default": None}


def _describe(schema: Schema, owner: type) -> None:
    known = meanings(owner)
    sections = owner is PipelineConfig
    for name, key in schema["properties"].items():
        assert sections or name in known, f"nothing below {owner.__name__}.{name} says what it is"
        if name in known:
            key["description"] = str(known[name])


def _plain(schema: Any) -> Any:
    """Return a schema without pydantic's titles, and with references as draft 7 has them."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {}
    for key, value in schema.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "$ref":
            plain[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "properties":
            plain[key] = {name: _plain(inner) for name, inner in value.items()}
        else:
            plain[key] = _plain(value)
    return plain
