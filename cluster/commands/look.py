"""qpmstudy study show, plan and schema: what is known, would be done, and may be written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cluster.commands.options import (
    console,
    json_option,
    root_option,
    storage_options,
    storage_root,
    told,
)


@click.command()
@click.argument("name")
@click.argument("trial", type=click.IntRange(min=0), required=False)
@root_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all there is.")
@told
def show(name: str, trial: int | None, root: Path, as_json: bool) -> None:
    """Show the study NAME: its question, how far it is, what it cost, what failed.

    With TRIAL: what that one set, its metrics by seed, the certificate of its selection, where
    its stages come from, what is needed to repeat it, and what the log says of a failure.
    """
    from cluster.account_tables import study_view, trial_view
    from cluster.replication import study_over
    from storage.account import study_account, trial_account

    storage = storage_root(root)
    if trial is None:
        account, view = study_account(storage, name, study_over), study_view
    else:
        account, view = trial_account(storage, name, trial), trial_view
    if as_json:
        click.echo(json.dumps(account, allow_nan=False))
    else:
        console().print(view(account))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@storage_options
@json_option
@told
def plan(file: Path, root: Path, embeddings: str | None, as_json: bool) -> None:
    """Say what launching the study FILE would do, without running or writing anything.

    Runs to come, stages they share and those already stored, what computing the rest takes by
    what such stages took before, embeddings that are missing, and memory. The exit code is 1 if
    a launch would end at once, because embeddings are missing that it cannot make.
    """
    from cluster.forecast_table import forecast_view
    from storage.forecast import forecast, forecast_json
    from storage.study import load_study

    found = forecast(load_study(file), storage_root(root, embeddings))
    if as_json:
        click.echo(json.dumps(forecast_json(found), allow_nan=False))
    else:
        console().print(forecast_view(found))
    if any(store.ends_launch for store in found.stores):
        sys.exit(1)


@click.command()
@told
def schema() -> None:
    """Print the JSON schema of study files, by which editors complete and check them.

    Keep it beside your files, and begin each with
    # yaml-language-server: $schema=study.schema.json
    """
    from storage.study.schema import study_schema

    click.echo(json.dumps(study_schema(), indent=2))
