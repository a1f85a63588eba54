"""qpmstudy explain: what a model knows, beyond single predictions."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.commands.options import FOLDER, told


@click.group()
@click.argument("model", type=FOLDER)
@click.pass_context
def explain(context: click.Context, model: Path) -> None:
    """Explain an exported MODEL as a whole; `infer --explain` explains single predictions."""
    context.obj = model


@explain.command()
@click.option(
    "--out",
    type=FOLDER,
    default=Path("explained"),
    show_default=True,
    help="Folder to write into.",
)
@click.pass_obj
@told
def overview(model: Path, out: Path) -> None:
    """Draw which class uses which feature, like beside like: overview.png and overview.html."""
    from qpmstudy.explain.overview import overview as overview_of
    from qpmstudy.explain.overview import overview_html, overview_png
    from qpmstudy.exported import read_model
    from qpmstudy.files import write_bytes

    found = overview_of(read_model(model))
    contents = {"png": overview_png(found), "html": overview_html(found).encode()}
    for suffix, content in contents.items():
        path = out / f"overview.{suffix}"
        write_bytes(path, content)
        click.echo(f"wrote {path}")
