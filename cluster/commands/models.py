"""qpmstudy infer: what to do with an exported model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cluster.commands.options import FILE, FOLDER, told


@click.command()
@click.argument("model", type=FOLDER)
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--explain", type=FOLDER, help="Write overlays of the used features here.")
@click.option("--weights", type=FILE, help="Checkpoint of the model's backbone (QPMSTUDY_WEIGHTS).")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, all classes.")
@told
def infer(
    model: Path,
    images: tuple[Path, ...],
    explain: Path | None,
    weights: Path | None,
    top: int,
    as_json: bool,
) -> None:
    """Classify IMAGES with an exported MODEL, and show why.

    Prints the most probable classes of each image with the features behind the best one: their
    contributions add up to its logit. With --explain, overlays show where each feature fires.
    """
    from qpmstudy.report import infer_images, prediction_json, prediction_text

    for path, prediction, loaded, written in infer_images(model, images, explain, weights):
        if as_json:
            click.echo(json.dumps(prediction_json(path, prediction, loaded)))
        else:
            click.echo(prediction_text(path, prediction, loaded, top))
            for file in written:
                click.echo(f"  wrote {file}")
