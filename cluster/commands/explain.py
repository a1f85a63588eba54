"""qpmstudy explain: a class, a feature, the mistakes of an exported model, or all of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.commands.options import (
    FILE,
    FOLDER,
    Decorator,
    chosen_split,
    console,
    dataset_option,
    refuse_without_data,
    several,
    skip_broken_option,
    split_option,
    storage_options,
    storage_root,
    told,
)

if TYPE_CHECKING:
    from qpmstudy.explain.page import Page
    from storage.model_images import ModelImages


class _OfModel(click.Group):
    """Commands behind the model that they are about."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; a model and a command in the other order is told."""
        first = str(ctx.params["model"])
        if first in self.commands and args[0] not in self.commands:
            meant = shlex.join([args[0], first, *args[1:]])
            raise click.UsageError(f"MODEL comes first: python cli.py explain {meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_OfModel)
@click.argument("model", type=FOLDER)
@click.pass_context
def explain(context: click.Context, model: Path) -> None:
    """Explain an exported MODEL as a whole; `infer --explain` explains single predictions.

    Writes a picture (PNG) and a page (HTML, one file that needs no network). Images are those of
    the embeddings that the model's dataset has below --root, or those in --data.
    """
    context.obj = model


_out_option = click.option(
    "--out",
    type=FOLDER,
    default=Path("explained"),
    show_default=True,
    help="Folder to write into.",
)


def _image_options(count: int, most: int) -> Decorator:
    """Return what says which images, and how many of them; more would be too small to see."""
    return several(
        click.option("--count", type=click.IntRange(1, most), default=count, show_default=True,
                     help="Images of each kind: of a class, mistakes."),
        split_option,
        dataset_option,
        click.option("--data", type=FOLDER, help="Take the images in this folder, not a store's."),
        click.option("--weights", type=FILE, help="With --data: checkpoint of the backbone."),
        skip_broken_option,
        storage_options,
        _out_option,
    )  # fmt: skip


@explain.command("class")
@click.argument("first", metavar="CLASS")
@click.argument("second", metavar="[OTHER]", required=False)
@_image_options(3, 4)
@click.pass_obj
@told
def explain_class(
    model: Path, first: str, second: str | None, count: int, out: Path, **where: Any
) -> None:
    """Show the features of CLASS on its best examples, or what sets it apart from OTHER.

    A class goes by its name, a part of it that no other has, or its number, counted from 1.
    """
    from qpmstudy.exported import read_model
    from storage.gallery import gallery
    from storage.global_explanations import explain_classes, numbered_class

    stored = read_model(model)
    wanted = [first] if second is None else [first, second]
    classes = [numbered_class(stored, name) for name in wanted]
    each = count if second is not None else 2 * count
    page = explain_classes(gallery(_images(model, **where)), classes, each)
    _write_page(page, out, f"class-{'-'.join(str(label + 1) for label in classes)}")


@explain.command("feature")
@click.argument("number", type=int)
@_image_options(5, 8)
@click.pass_obj
@told
def explain_feature(model: Path, number: int, count: int, out: Path, **where: Any) -> None:
    """Show where the feature NUMBER fires, and which classes use it with which weight."""
    from qpmstudy.exported import read_model
    from storage.gallery import gallery
    from storage.global_explanations import explain_feature, numbered_feature

    column = numbered_feature(read_model(model), number)
    page = explain_feature(gallery(_images(model, **where)), column, count)
    _write_page(page, out, f"feature-{number}")


@explain.command("failures")
@_image_options(8, 100)
@click.pass_obj
@told
def explain_failures(model: Path, count: int, out: Path, **where: Any) -> None:
    """Show misclassified images: what spoke for the predicted class, what for the true one.

    Beside each, if the model's study and embeddings are below --root: what the dense model looked
    at, and the image of the predicted class that is most alike of those that the model learned
    from. Which classes are confused most is printed, too.
    """
    from qpmstudy.exported import read_model
    from storage.dense_model import dense_model
    from storage.gallery import gallery
    from storage.global_explanations import explain_failures, mistakes_text
    from storage.learned_from import learned_from

    root = storage_root(where["root"], where["embeddings"])
    shown = gallery(_images(model, **where))
    dense = dense_model(root, read_model(model).record)
    page = explain_failures(shown, learned_from(model, root), dense, count)
    click.echo(mistakes_text(shown))
    _write_page(page, out, "failures")


@explain.command()
@_out_option
@click.pass_obj
@told
def overview(model: Path, out: Path) -> None:
    """Draw which class uses which feature, like beside like: overview.png and overview.html."""
    from qpmstudy.explain.overview import overview as overview_of
    from qpmstudy.explain.overview import overview_png
    from qpmstudy.explain.overview_page import overview_html
    from qpmstudy.exported import read_model

    found = overview_of(read_model(model))
    _write(out, "overview", overview_png(found), overview_html(found))


def _images(
    model: Path,
    root: Path,
    embeddings: str | None,
    dataset: str | None,
    split: str | None,
    data: Path | None,
    weights: Path | None,
    skip_broken: bool,
) -> ModelImages:
    from cluster.reporter import Reporter
    from qpmstudy.errors import DataError
    from storage.folder_images import ImageFolder, folder_images
    from storage.model_images import stored_images

    which = chosen_split(split, data)
    if data is not None:
        phase = Reporter(console(stderr=True), beginnings=False).phase
        there = ImageFolder(data, skip_broken=skip_broken)
        return folder_images(model, there, phase, dataset, which, weights)
    refuse_without_data({"weights": weights, "skip_broken": skip_broken})
    try:
        return stored_images(model, storage_root(root, embeddings), dataset, which)
    except DataError as error:
        raise DataError(
            f"{error}\nOr take the images of a folder, without stored embeddings: --data FOLDER."
        ) from error


def _write_page(page: Page, out: Path, name: str) -> None:
    from qpmstudy.explain.page_html import page_html
    from qpmstudy.explain.page_picture import page_picture

    _write(out, name, page_picture(page), page_html(page))


def _write(out: Path, name: str, picture: bytes, page: str) -> None:
    from qpmstudy.files import write_bytes

    for path, content in ((out / f"{name}.png", picture), (out / f"{name}.html", page.encode())):
        write_bytes(path, content)
        click.echo(f"wrote {path}")
