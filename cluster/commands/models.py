"""qpmstudy evaluate and verify: how good an exported model is, and whether it is still that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cluster.commands.options import (
    FILE,
    FOLDER,
    console,
    embeddings_option,
    root_option,
    storage_root,
    told,
)


@click.command()
@click.argument("model", type=FOLDER)
@click.option("--weights", type=FILE, help="Checkpoint of the model's backbone (QPMSTUDY_WEIGHTS).")
@told
def verify(model: Path, weights: Path | None) -> None:
    """Check that an exported MODEL is whole and still says what it said.

    Every file has its checksum, the backbone its weights, and the example that the model keeps
    gets the logits that the study measured. ONNX, if it is there, says the same as torch.
    """
    from qpmstudy.verification import verify_model

    for line in verify_model(model, weights):
        click.echo(line)
    click.echo(f"{model} is as it was exported.")


@click.command()
@click.argument("model", type=FOLDER)
@click.option("--dataset", help="Its name, as for embed.  [default: the model's own]")
@click.option("--data", type=FOLDER, help="Embed the images in this folder, without a store.")
@click.option(
    "--split",
    default="test",
    show_default=True,
    help="test, another split of the dataset, or all; of the model's own embeddings also "
    "validation.",
)
@click.option("--weights", type=FILE, help="With --data: checkpoint of the model's backbone.")
@click.option("--batch", type=click.IntRange(min=1), help="With --data: images embedded at once.")
@click.option("--workers", type=click.IntRange(min=0), help="With --data: decoding processes.")
@click.option("--skip-broken", is_flag=True, help="With --data: leave out broken images.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@root_option
@embeddings_option
@told
def evaluate(
    model: Path,
    dataset: str | None,
    data: Path | None,
    split: str,
    root: Path,
    embeddings: str | None,
    as_json: bool,
    **images: Any,
) -> None:
    """Measure an exported MODEL: accuracy, Plausibility, SID and what else a study's rows have.

    On stored embeddings of the model's own backbone and weights, which need no backbone; or, with
    --data, on a folder of images. Classes are told apart by name and may be a part of the model's.
    """
    from cluster.reporter import Reporter
    from qpmstudy.errors import ConfigError
    from storage.evaluation import evaluate_images, evaluate_stored
    from storage.evaluation_report import evaluation_json, evaluation_text

    if data is None:
        given = [f"--{name.replace('_', '-')}" for name, value in images.items() if value]
        if given:
            raise ConfigError(f"{given[0]} is about images: give --data FOLDER, too.")
        found = evaluate_stored(model, storage_root(root, embeddings), dataset, split)
    else:
        phase = Reporter(console(stderr=as_json)).phase
        found = evaluate_images(model, data, phase, dataset, split, **images)
    click.echo(json.dumps(evaluation_json(found)) if as_json else evaluation_text(found))
