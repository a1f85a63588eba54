"""Types and ranges of the pipeline configuration, and validation errors in words.

The configuration itself consists of plain dataclasses, so that the science runs without
pydantic; here they become models that refuse unknown keys and values out of range.
"""

import functools
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from qpmstudy.config import PipelineConfig, Range
from qpmstudy.registry import did_you_mean


class Frozen(BaseModel):
    """Base of every model here: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def model_of(section: type) -> type[BaseModel]:
    """Return a validating model of a configuration dataclass: same fields, ranges, defaults."""
    hints = get_type_hints(section, include_extras=True)
    built: dict[str, Any] = {}
    for field in fields(section):
        hint = hints[field.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            default = Field(default_factory=dict, validate_default=True)
            built[field.name] = (model_of(hint), default)
        else:
            built[field.name] = (_bounded(hint), field.default)
    return create_model(section.__name__, __base__=Frozen, **built)


def _bounded(hint: Any) -> Any:
    """Translate our Range into pydantic's; true and "3" are no numbers, "yes" is no bool."""
    base, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    limits = {
        name: limit
        for mark in marks
        if isinstance(mark, Range)
        for name, limit in vars(mark).items()
        if limit is not None
    }
    if base is float:
        return Annotated[base, Field(strict=True, allow_inf_nan=False, **limits)]
    if base in (int, bool):
        return Annotated[base, Field(strict=True, **limits)]
    return hint


@functools.cache
def value_adapter(path: str) -> TypeAdapter[Any]:
    """Return what validates a value of the configuration path `path` ("finetune.l1_fm")."""
    section_name, _, leaf = path.partition(".")
    section = get_type_hints(PipelineConfig)[section_name]
    return TypeAdapter(_bounded(get_type_hints(section, include_extras=True)[leaf]))


def sentences(error: ValidationError, known: Iterable[str], prefix: str = "") -> list[str]:
    """Return one sentence for each error: its path, the rule, the value, a near known name."""
    known = tuple(known)
    found = []
    for item in error.errors():
        inner = ".".join(str(part) for part in item["loc"])
        path = f"{prefix}.{inner}".strip(".")
        if item["type"] == "extra_forbidden":
            found.append(f"{path}: there is no such key.{did_you_mean(inner, known)}")
        elif item["type"] == "missing":
            found.append(f"{path}: this key is required.")
        else:
            rule = item["msg"].removeprefix("Value error, ")
            found.append(f"{path}: {rule} (got {item['input']!r}).")
    return found
