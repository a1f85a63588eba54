"""qpmstudy evaluate, compare and verify: how good exported models are, and if they still are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cluster.commands.options import (
    FILE,
    FOLDER,
    chosen_split,
    console,
    dataset_option,
    json_option,
    refuse_without_data,
    several,
    skip_broken_option,
    split_option,
    storage_options,
    storage_root,
    told,
)

_image_options = several(
    dataset_option,
    click.option("--data", type=FOLDER, help="Embed the images in this folder, unstored."),
    split_option,
    click.option(
        "--batch", type=click.IntRange(min=1), help="With --data: images embedded at once."
    ),
    click.option("--workers", type=click.IntRange(min=0), help="With --data: decoding processes."),
    skip_broken_option,
)
"""Which images, and how they are embedded."""


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
@_image_options
@click.option("--weights", type=FILE, help="With --data: checkpoint of the model's backbone.")
@json_option
@storage_options
@told
def evaluate(
    model: Path,
    dataset: str | None,
    data: Path | None,
    split: str | None,
    weights: Path | None,
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
    from storage.evaluation import evaluate_images, evaluate_stored
    from storage.evaluation_report import evaluation_json, evaluation_text
    from storage.folder_images import ImageFolder

    which = chosen_split(split, data)
    if data is None:
        refuse_without_data(images | {"weights": weights})
        found = evaluate_stored(model, storage_root(root, embeddings), dataset, which)
    else:
        phase = Reporter(console(stderr=as_json), beginnings=False).phase
        there = ImageFolder(data, **images)
        found = evaluate_images(model, there, phase, dataset, which, weights)
    click.echo(json.dumps(evaluation_json(found)) if as_json else evaluation_text(found))


@click.command()
@click.argument("model_a", type=FOLDER)
@click.argument("model_b", type=FOLDER)
@_image_options
@click.option("--weights-a", type=FILE, help="With --data: checkpoint of A's backbone.")
@click.option("--weights-b", type=FILE, help="With --data: checkpoint of B's backbone.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--out", type=FOLDER, help="Write comparison.json, disagreements.csv and .png here.")
@json_option
@storage_options
@told
def compare(
    model_a: Path,
    model_b: Path,
    dataset: str | None,
    data: Path | None,
    split: str | None,
    root: Path,
    embeddings: str | None,
    weights_a: Path | None,
    weights_b: Path | None,
    seed: int,
    out: Path | None,
    as_json: bool,
    **images: Any,
) -> None:
    """Compare two exported models, MODEL_A and MODEL_B, on the same images.

    On stored embeddings of each one's backbone, or, with --data, on a folder of images. Metrics
    come with the interval of their difference (bootstrap over images, the same ones for both),
    accuracy with McNemar's exact test. Then the images follow that the models call differently.
    """
    from cluster.reporter import Reporter
    from storage.comparison import compare as compared
    from storage.comparison import in_common
    from storage.comparison_report import comparison_json, comparison_text, write_comparison
    from storage.folder_images import ImageFolder, images_of_models
    from storage.model_images import stored_images

    chosen = dataset, chosen_split(split, data)
    if data is None:
        refuse_without_data(images | {"weights_a": weights_a, "weights_b": weights_b})
        storage = storage_root(root, embeddings)
        both = [stored_images(model, storage, *chosen) for model in (model_a, model_b)]
    else:
        phase = Reporter(console(stderr=as_json), beginnings=False).phase
        models = [(model_a, weights_a), (model_b, weights_b)]
        both = images_of_models(models, ImageFolder(data, **images), phase, *chosen)
    first, second, left_out = in_common(*both)
    found = compared(first, second, left_out, seed)
    click.echo(json.dumps(comparison_json(found)) if as_json else comparison_text(found))
    for path in [] if out is None else write_comparison(found, first, second, out):
        click.echo(f"wrote {path}", err=as_json)
