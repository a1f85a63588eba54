"""Writes docs/reference/ and studies/study.schema.json from the code: python tests/reference.py

A test compares them with what stands there. Configuration and study files are described by their
schema, commands by click, columns of results by what makes rows.
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script, from anywhere

from cli import main
from qpmstudy.columns import (
    COMPACTNESS,
    MEANINGS,
    PROOF,
    SPLIT_METRICS,
    TRAINING_METRICS,
)
from qpmstudy.config import PipelineConfig
from qpmstudy.stage_graph import STAGES
from storage.provenance import COLUMNS
from storage.results import RUN_COLUMNS, STAGE_COLUMNS, metric_columns
from storage.study.descriptions import meanings
from storage.study.schema import study_schema

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- made by tests/reference.py: change the code, and run it -->\n"
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
MODELS = (
    ("Seeds", "seeds", "A number, or bounds between which it depends on what the first give."),
    ("SpaceEntry", "An entry of space", "`values`, or `low` and `high`, or `variants`."),
    ("EarlyStopping", "early_stopping", "Trials that are behind end before their last stage."),
    ("Rung", "A rung of early_stopping", "A point that trials pass on their way."),
    ("Resources", "A stage of stages", "What one of its tasks occupies, and for how long at most."),
    ("TableSpec", "table", "What `study table` makes of the results."),
    ("TensorBoardSpec", "tensorboard", "What TensorBoard shows of the study."),
)
"""Definitions of the schema, where they stand in a study file, and what they are."""
METAVARS = {"INTEGER": "N", "FLOAT": "NUMBER", " RANGE": "", "DIRECTORY": "FOLDER"}
"""Words of click for what an option takes, and ours."""
Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """Return the content of every generated file by its path in the repository."""
    schema = study_schema()
    return {
        "studies/study.schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
        "docs/reference/configuration.md": configuration(schema["definitions"]),
        "docs/reference/study-file.md": study_file(schema),
        "docs/reference/commands.md": commands(),
        "docs/reference/columns.md": columns(),
    }


def configuration(definitions: Schema) -> str:
    """Return the page about every configuration value."""
    lines = [
        "# Configuration\n",
        MADE,
        "A value's path, such as `finetune.l1_fm`, is its name in study files, in the columns of "
        "results and in TensorBoard. Defaults are the paper's.\n",
    ]
    hints = get_type_hints(PipelineConfig)
    for field in fields(PipelineConfig):
        owner = hints[field.name]
        known = meanings(owner)
        about = (owner.__doc__ or "").partition("\n")[0]
        rows = [
            (f"`{field.name}.{key}`", default(value), kind(value), known[key].unit, known[key].text)
            for key, value in definitions[owner.__name__]["properties"].items()
        ]
        lines += [f"## {field.name}\n", f"{about}\n"]
        lines += [table(("value", "default", "range", "unit", "meaning"), rows)]
    return "\n".join(lines)


def study_file(schema: Schema) -> str:
    """Return the page about every key of a study file."""
    lines = [
        "# Study files\n",
        MADE,
        "A study is one YAML file. Editors complete and check it by `studies/study.schema.json`, "
        "which `python cli.py study schema` prints. What is in `pipeline`: "
        "[configuration](configuration.md).\n",
        keys(schema),
    ]
    for name, title, about in MODELS:
        lines += [f"## {title}\n", f"{about}\n", keys(schema["definitions"][name])]
    return "\n".join(lines)


def keys(schema: Schema) -> str:
    """Return the table of one mapping's keys."""
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            "required" if name in required else default(key),
            kind(key),
            key.get("description", ""),
        )
        for name, key in schema["properties"].items()
    ]
    return table(("key", "default", "range", "meaning"), rows)


def default(schema: Schema) -> str:
    """Return a default as it would be written into a study file."""
    value = schema.get("default")
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key}: {inner}' for key, inner in value.items())}}}`"
    return f"`{number(value) if isinstance(value, float) else str(value).lower()}`"


def number(value: float) -> str:
    """Return a number as a person would write it."""
    return str(int(value)) if value == int(value) else f"{value:g}"


def kind(schema: Schema) -> str:
    """Return which values a schema allows, in words."""
    if "anyOf" in schema:
        found = [kind(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return ", or ".join(found)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value is not None)
    if "$ref" in schema:
        return "mapping"
    name = schema.get("type", "")
    if isinstance(name, list):
        return " or ".join(name)
    bounds = " and ".join(
        f"{sign} {number(schema[bound])}" for bound, sign in BOUNDS.items() if bound in schema
    )
    words = {"object": "mapping", "array": "list", "string": "text", "boolean": "true or false"}
    whole = {"integer": "whole number", "number": "number"}.get(name, words.get(name, name))
    return f"{whole} {bounds}".strip()


def commands() -> str:
    """Return the page about every command and its options."""
    lines = [
        "# Commands\n",
        MADE,
        "As `python cli.py COMMAND`, or `qpmstudy COMMAND` where it is installed. `--help` behind "
        "any of them says the same.\n",
    ]
    for path, command, context in walk(main, click.Context(main, info_name="python cli.py"), ()):
        if isinstance(command, click.Group):
            continue
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        lines += [f"## {' '.join(path)}\n", f"```text\n{usage}\n```\n", *said(command)]
        rows = [row for row in map(option_row(context), command.params) if row]
        lines += [table(("option", "default", "meaning"), rows)] if rows else []
    return "\n".join(lines)


def walk(
    command: click.Command, context: click.Context, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Yield every command below one, with its names and context."""
    yield path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.commands[name]
            below = click.Context(inner, info_name=name, parent=context)
            yield from walk(inner, below, (*path, name))


def said(command: click.Command) -> Iterator[str]:
    """Yield the paragraphs of a command's help; those that keep their lines as blocks."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield "```text\n" + paragraph.removeprefix("\b\n") + "\n```\n"
        else:
            yield " ".join(paragraph.split()) + "\n"


def option_row(context: click.Context) -> Any:
    """Return what makes the row of an option: its names, default, and meaning."""

    def row(parameter: click.Parameter) -> tuple[str, str, str] | None:
        if not isinstance(parameter, click.Option):
            return None
        extra = parameter.get_help_extra(context)
        names = ", ".join((*parameter.opts, *parameter.secondary_opts))
        value = "" if parameter.is_flag else f" {parameter.make_metavar(context)}"
        for long, short in METAVARS.items():
            value = value.replace(long, short)
        text, _, own = (parameter.help or "").partition("  [default: ")
        if parameter.envvar:
            text += f" Also `{parameter.envvar}` in the environment."
        return (
            f"`{names}{value}`",
            extra.get("default", own.rstrip("]")).strip("()"),
            text,
        )

    return row


def columns() -> str:
    """Return the page about every column of a result row."""
    held_out = ("validation", "test", "shift")
    bare = (*SPLIT_METRICS, *TRAINING_METRICS)
    assert {*bare} <= {*metric_columns(held_out)}
    return "\n".join(
        [
            "# Columns of results\n",
            MADE,
            "A row for each trial and seed, in `runs/NAME/results`. Fractions are between 0 and 1; "
            "tables print them in percent. null: the dataset has nothing to measure it with, or "
            "the stage did not run.\n",
            "## The run\n",
            table(("column", "type", "meaning"), typed(RUN_COLUMNS)),
            "Then every value of the [configuration](configuration.md), by its path.\n",
            "## Metrics\n",
            "Without a prefix on the split that the search looks at. `test_`, `shift_`: on that "
            "split (those that are measured by split). `dense_`: of the dense model, before "
            "selection; `dense_test_accuracy` has both.\n",
            figures(SPLIT_METRICS, "by split"),
            figures(TRAINING_METRICS, "on the training images"),
            "## Size\n",
            figures((*COMPACTNESS, "seconds_per_epoch"), "of the final model"),
            "## The selection's certificate\n",
            table(("column", "meaning"), [(f"`qp_{n}`", MEANINGS[n]) for n in PROOF]),
            "## Stages\n",
            f"Of each stage, {', '.join(f'`{name}`' for name in STAGES)}, behind a point: "
            "`key.dense`.\n",
            table(("column", "type", "meaning"), typed(STAGE_COLUMNS)),
            "## How to repeat it\n",
            table(("column", "type", "meaning"), typed(COLUMNS)),
        ]
    )


def typed(known: Mapping[str, tuple[type, str]]) -> list[tuple[str, ...]]:
    """Return the rows of columns that have a type and a meaning."""
    return [(f"`{name}`", of.__name__, text) for name, (of, text) in known.items()]


def figures(names: tuple[str, ...], where: str) -> str:
    """Return the table of some figures."""
    rows = [(f"`{name}`", MEANINGS[name]) for name in names]
    return table((f"column, {where}", "meaning"), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


if __name__ == "__main__":
    for name, content in pages().items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(content, encoding="utf-8")
        click.echo(f"wrote {name}")
