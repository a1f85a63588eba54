"""What the commands share: options, where to print, and how an error is told."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qpmstudy.errors import ConfigError, QpmStudyError
from qpmstudy.files import refusal

if TYPE_CHECKING:
    from rich.console import Console

    from storage.layout import StorageRoot

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
DEFAULT_ROOT = Path("runs")
WIDE = 160
"""Columns of a table that goes into a file or another program."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def several(*options: Decorator) -> Decorator:
    """Return options as one decorator; `--help` lists them in this order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


root_option = click.option(
    "--root",
    type=FOLDER,
    default=DEFAULT_ROOT,
    show_default=True,
    envvar="QPMSTUDY_ROOT",
    help="Folder for studies, embeddings and stage results.",
)
storage_options = several(
    root_option,
    click.option(
        "--embeddings",
        envvar="QPMSTUDY_EMBEDDINGS",
        help="Folder or URL (s3://...) of the embeddings.  [default: ROOT/_embeddings]",
    ),
)
"""What `storage_root` is made of."""
dataset_option = click.option(
    "--dataset", help="Its name, as for embed.  [default: the model's own]"
)
skip_broken_option = click.option(
    "--skip-broken", is_flag=True, help="With --data: leave out broken images."
)
split_option = click.option(
    "--split",
    help="Which images: test, train, another split of the dataset, or all; of the model's own "
    "embeddings also validation.  [default: test; with --data all]",
)
"""Read by `chosen_split`."""
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into one message and an exit code: 2 for usage, 1 for everything else."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except QpmStudyError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2 if isinstance(error, ConfigError) else 1)
        except OSError as error:
            told_error = refusal(error)
            if told_error is None:
                raise
            click.echo(f"Error: {told_error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("Stopped. Nothing finished is lost: run the same command again.", err=True)
            sys.exit(130)

    return wrapped


def storage_root(path: Path, embeddings: str | None = None) -> StorageRoot:
    """Return the storage root at a path, and with it where its embeddings are kept."""
    from storage.layout import StorageRoot
    from storage.places import place

    return StorageRoot(path, place(embeddings) if embeddings else None)


def chosen_split(split: str | None, data: Path | None) -> str:
    """Return which images are meant: a folder that somebody names is meant as a whole."""
    return split or ("test" if data is None else "all")


def refuse_without_data(options: Mapping[str, object]) -> None:
    """Refuse options that only images in a folder can have, where none was named.

    Raises:
        ConfigError: one of them was given.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise ConfigError(f"{given[0]} is about images: give --data FOLDER, too.")


def console(stderr: bool = False) -> Console:
    """Return a console; its width is the terminal's, or fixed where there is none.

    What it prints is text: errors, names and descriptions of others have brackets and colons in
    them, which are no markup and no emoji.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, soft_wrap=True, width=width, markup=False, emoji=False)
