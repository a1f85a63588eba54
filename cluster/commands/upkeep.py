"""qpmstudy study gc and cancel: what a study leaves, and one that should end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cluster.commands.options import json_option, root_option, storage_options, storage_root, told


@click.command()
@storage_options
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--keep",
    type=click.Choice(["needed", "front"]),
    default="needed",
    show_default=True,
    help="needed: every stage that a row names. front: of finished studies only stages of "
    "configurations on the Pareto front.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Minutes; what is younger stays, as its writer may be at work.",
)
@json_option
@told
def gc(
    root: Path, embeddings: str | None, dry_run: bool, keep: str, grace: float, as_json: bool
) -> None:
    """Remove stage results that no study needs, and what killed writers left.

    Needed is what a committed row of any study names, and what an unfinished study will ask for;
    what the rows of a Pareto front name is never removed. Rows, tables and exported models stay
    as they are. Refused while a study runs below the root. Stopped at any moment, run it again.

    With --keep front, dominated configurations can no longer be exported, and other studies no
    longer share their stages.
    """
    from cluster.pending import pending_configurations
    from storage.driver_lock import removal_lock
    from storage.garbage import find, remove
    from storage.garbage_report import report_json, report_lines

    storage = storage_root(root, embeddings)
    if not root.is_dir():
        raise click.BadParameter(f"there is no folder {root}", param_hint="--root")
    with removal_lock(root):
        found = find(
            storage, pending_configurations, "front" if keep == "front" else "needed", 60 * grace
        )
        gone = found.rubbish if dry_run else tuple(remove(found.rubbish))
    if as_json:
        click.echo(json.dumps(report_json(found, gone, dry_run)))
    else:
        click.echo("\n".join(report_lines(found, gone, dry_run)))


@click.command()
@click.argument("name")
@root_option
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Seconds to wait for the driver to end; 1 is the exit code if it has not.",
)
@told
def cancel(name: str, root: Path, wait: float) -> None:
    """Ask the driver of the study NAME to stop, wherever it runs.

    What is finished stays; launching the study again goes on with the rest.
    """
    from storage.cancel import request_cancel, wait_until_stopped

    storage = storage_root(root)
    folder = storage.study(name)  # its first launch may still be making embeddings
    if not request_cancel(folder):
        storage.existing_study(name)
        click.echo(f"{name} is not running: nothing to cancel.")
        return
    driver = folder.lock.read_text(encoding="utf-8").strip()
    click.echo(f"{name}: asked its driver to stop ({driver}).")
    if wait and not wait_until_stopped(folder, wait):
        click.echo(f"{name} still runs after {wait:g} s; the request stands.", err=True)
        sys.exit(1)
    if wait:
        click.echo(f"{name} is stopped. Launch it again to go on with what is left.")
