"""qpmstudy infer: what an exported model says of images, and why."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.options import FILE, FOLDER, console, told

if TYPE_CHECKING:
    from qpmstudy.inference import InterpretableModel
    from qpmstudy.predicting import Predicted


@click.command()
@click.argument("model", type=FOLDER)
@click.argument("images", nargs=-1, required=True)
@click.option("--explain", type=FOLDER, help="Write overlays of the used features here.")
@click.option("--against", metavar="CLASS", help="Say, and draw, why not this class instead.")
@click.option(
    "--top", type=click.IntRange(min=1), default=3, show_default=True, help="Classes of an image."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "table"]),
    default="text",
    show_default=True,
    help="json: an object a line. table: a row for each class, columns separated by tabs.",
)
@click.option("--batch", type=click.IntRange(min=1), help="Images at once.  [default: 32]")
@click.option("--skip-broken", is_flag=True, help="Images that cannot be decoded are no failure.")
@click.option("--weights", type=FILE, help="Checkpoint of the model's backbone (QPMSTUDY_WEIGHTS).")
@told
def infer(
    model: Path,
    images: tuple[str, ...],
    explain: Path | None,
    against: str | None,
    top: int,
    form: str,
    batch: int | None,
    skip_broken: bool,
    weights: Path | None,
) -> None:
    """Classify IMAGES with an exported MODEL, and show why.

    IMAGES are files, folders, or - for a list on standard input. Printed are the most probable
    classes of each with the features behind them: contributions add up to the logit. With
    --explain, overlays show where each feature fires. Broken images are named at the end.
    """
    from qpmstudy.errors import ConfigError, DataError
    from qpmstudy.exported import load_model
    from qpmstudy.image_list import is_single, named_images
    from qpmstudy.predicting import BATCH, Broken, predict_images
    from qpmstudy.prediction_report import find_class

    if against is not None and form == "table" and explain is None:
        raise ConfigError("A table has no room for --against: choose --format text or json.")
    loaded = load_model(model, weights)
    rival = None if against is None else find_class(loaded, against)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # names of files may be any bytes
    paths = named_images(images, sys.stdin)
    printer = _Printer(form, loaded, top, rival)
    folder = None if explain is None else _Folders(explain, is_single(images), loaded, rival)
    broken: list[Broken] = []
    predicted = 0
    with _rate() as done:
        for found in predict_images(loaded, paths, explain is not None, batch or BATCH):
            if isinstance(found, Broken):
                if is_single(images) and not skip_broken:
                    raise DataError(found.reason)
                broken.append(found)
            else:
                predicted += 1
                printer(found, [] if folder is None else folder.write(found))
            done()
    for one in broken:
        click.echo(f"{'Skipped' if skip_broken else 'Broken'}: {one.reason}", err=True)
    if broken and not skip_broken:
        click.echo(
            f"Error: {len(broken)} of {predicted + len(broken)} images cannot be decoded; "
            f"{f'{predicted} are' if predicted != 1 else '1 is'} predicted. Mend "
            f"{'it' if len(broken) == 1 else 'them'}, or say --skip-broken.",
            err=True,
        )
        sys.exit(1)


@contextmanager
def _rate() -> Iterator[Callable[[], None]]:
    """Provide what to call after each image; says on standard error how fast they went.

    On a terminal it moves, unless the predictions themselves do there.
    """
    from cluster.pace import Pace
    from qpmstudy.stages.base import device

    screen = console(stderr=True)
    pace, count = Pace(0, time.monotonic()), 0
    moving = screen.is_terminal and not sys.stdout.isatty()
    with screen.status("loaded") if moving else nullcontext() as status:

        def done() -> None:
            nonlocal count
            count += 1
            if status is not None:
                rate = pace.rate(count, time.monotonic())
                status.update(f"{count} images, {rate:.1f} images/s")

        yield done
    words = pace.words(count, count, time.monotonic())
    click.echo(f"{words} on {device().type}", err=True)


class _Printer:
    """Prints predictions in one of the forms, each as soon as it is there."""

    def __init__(self, form: str, model: InterpretableModel, top: int, against: int | None) -> None:
        self._form, self._model, self._top, self._against = form, model, top, against
        self._table = csv.writer(sys.stdout, "excel-tab", lineterminator="\n")
        self._headed = False

    def __call__(self, found: Predicted, written: list[Path]) -> None:
        from qpmstudy.prediction_report import (
            COLUMNS,
            prediction_json,
            prediction_rows,
            prediction_text,
        )

        said = (found.path, found.prediction, self._model, self._top)
        if self._form == "json":
            line = json.dumps(prediction_json(*said, self._against), ensure_ascii=False)
            click.echo(_printable(line))
        elif self._form == "table":
            if not self._headed:
                self._table.writerow(COLUMNS)
                self._headed = True
            rows = prediction_rows(*said)
            self._table.writerows([[_printable(cell) for cell in row] for row in rows])
            sys.stdout.flush()
        else:
            click.echo(_printable(prediction_text(*said, self._against)))
            for file in written:
                click.echo(_printable(f"  wrote {file}"))


def _printable(text: str) -> str:
    r"""Return a text with those bytes of file names that are no UTF-8 as "\udcff".

    In a line of JSON that is their escape, from which the name comes back.
    """
    return text.encode(errors="backslashreplace").decode()


class _Folders:
    """Writes explanations: of a single image into the folder, of several each into its own."""

    def __init__(
        self, folder: Path, single: bool, model: InterpretableModel, against: int | None
    ) -> None:
        self._folder, self._single, self._model, self._against = folder, single, model, against
        self._count = 0

    def write(self, found: Predicted) -> list[Path]:
        from qpmstudy.explain import write_explanation
        from qpmstudy.prediction_report import rival

        self._count += 1
        own = self._folder / f"{self._count:03d}-{found.path.stem}"
        assert found.picture is not None
        return write_explanation(
            self._model,
            found.picture,
            found.prediction,
            self._folder if self._single else own,
            rival(found.prediction, self._against),
        )
