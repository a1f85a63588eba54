"""qpmstudy on the command line: read arguments, call one function, print."""

from __future__ import annotations

import functools
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qpmstudy.errors import ConfigError, QpmStudyError

if TYPE_CHECKING:
    from rich.console import Console

    from qpmstudy.selection import Progress
    from storage.layout import StorageRoot

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
WIDE = 160
"""Columns of a table that goes into a file or another program."""


def root_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --root, the folder below which everything is kept."""
    return click.option(
        "--root",
        type=FOLDER,
        default=Path("runs"),
        show_default=True,
        envvar="QPMSTUDY_ROOT",
        help="Folder for studies, embeddings and stage results.",
    )(command)


def embeddings_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --embeddings, where the stores of embeddings are kept if not below the root."""
    return click.option(
        "--embeddings",
        envvar="QPMSTUDY_EMBEDDINGS",
        help="Folder or URL (s3://...) of the embeddings.  [default: ROOT/_embeddings]",
    )(command)


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into one message and an exit code: 2 for usage, 1 for everything else."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except QpmStudyError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2 if isinstance(error, ConfigError) else 1)
        except KeyboardInterrupt:
            click.echo("Stopped. Nothing finished is lost: run the same command again.", err=True)
            sys.exit(130)

    return wrapped


def storage_root(path: Path, embeddings: str | None = None) -> StorageRoot:
    """Return the storage root at a path, and with it where its embeddings are kept."""
    from storage.layout import StorageRoot
    from storage.places import place

    return StorageRoot(path, place(embeddings) if embeddings else None)


def console(stderr: bool = False) -> Console:
    """Return a console; its width is the terminal's, or fixed where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, soft_wrap=True, width=None if stream.isatty() else WIDE)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="qpmstudy")
def main() -> None:
    """Study how hyperparameters of DINO-QPM trade accuracy against Plausibility.

    \b
    A first run, on synthetic birds that are made on the spot:
      python cli.py study launch studies/l1fm.yaml    run it (again: it goes on)
      tensorboard --logdir runs/l1fm/tensorboard      watch it
      python cli.py study pareto l1fm                 the front
      python cli.py study export l1fm --out models/   its best models
      python cli.py infer models/NAME bird.jpg --explain out/
    """


@main.group()
def study() -> None:
    """Launch studies and look at their results."""


@study.command()
@click.argument("file", type=click.Path(path_type=Path))
@root_option
@embeddings_option
@click.option("--extend", is_flag=True, help="Allow more trials or seeds than launched before.")
@click.option("--retry-failed", is_flag=True, help="Run seeds that failed before once more.")
@click.option("-v", "--verbose", is_flag=True, help="Show what Ray and Tune say, too.")
@told
def launch(
    file: Path,
    root: Path,
    embeddings: str | None,
    extend: bool,
    retry_failed: bool,
    verbose: bool,
) -> None:
    """Run the study that FILE describes, or go on where it was.

    Every configuration runs once for each seed: dense, select, finetune, evaluate. A stage that
    another trial or an earlier study has computed is reused. Stop it at any moment, even with
    kill -9: launching again does what is left and nothing twice.

    Set RAY_ADDRESS to run on a cluster; otherwise this machine is used.
    """
    from cluster.launch import launch as run
    from cluster.logs import quiet
    from cluster.reporter import Reporter, duration
    from cluster.tables import front_table
    from storage.study import load_study

    spec = load_study(file)
    storage = storage_root(root, embeddings)
    screen = console()
    with quiet(storage.study(spec.name).log, verbose):
        outcome = run(spec, storage, Reporter(screen), extend, retry_failed, verbose)
    screen.print(front_table(outcome.configurations, spec))
    click.echo(f"{duration(outcome.seconds)}; results: {storage.study(spec.name).path}")
    if outcome.configurations and not any(c.complete for c in outcome.configurations):
        click.echo("Every run failed; see the errors above.", err=True)
        sys.exit(1)
    if outcome.unfinished:
        click.echo(
            f"{outcome.unfinished} trial(s) are unfinished: launch again to go on.", err=True
        )
        sys.exit(1)


@study.command()
@click.argument("name")
@root_option
@told
def status(name: str, root: Path) -> None:
    """Say how far the study NAME is, what failed, and its front so far."""
    from cluster.tables import front_table, status_lines
    from storage.spec_file import stored_spec

    folder = storage_root(root).existing_study(name)
    spec = stored_spec(folder)
    lines, configurations = status_lines(folder, spec)
    click.echo("\n".join(lines))
    console().print(front_table(configurations, spec))


@study.command(name="list")
@root_option
@told
def list_studies(root: Path) -> None:
    """List every study under the root with its progress."""
    from cluster.tables import studies_table

    console().print(studies_table(storage_root(root)))


@study.command()
@click.argument("name")
@root_option
@click.option("--all", "show_all", is_flag=True, help="Show dominated configurations, too.")
@told
def pareto(name: str, root: Path, show_all: bool) -> None:
    """Print the Pareto front of the study NAME and draw it.

    Figures are means over seeds with their standard error, on the split the study searches on;
    test figures stand beside them and took no part in the choice. Writes pareto.png and
    pareto.csv into the study's folder.
    """
    from cluster.tables import front_table
    from storage.front import write_front
    from storage.spec_file import stored_spec
    from storage.summary import summarise

    folder = storage_root(root).existing_study(name)
    spec = stored_spec(folder)
    configurations = summarise(folder.results.rows(), spec)
    console().print(front_table(configurations, spec, dominated=show_all))
    for path in write_front(configurations, spec, folder):
        click.echo(f"wrote {path}")


@study.command()
@click.argument("name")
@root_option
@told
def table(name: str, root: Path) -> None:
    """Print the study NAME as the table or figure of the paper that it repeats.

    Our mean and standard deviation over seeds, on the test split; in parentheses the published
    value where the paper prints one. Writes table.md, table.csv and table.png into the study's
    folder.
    """
    from cluster.tables import paper_tables
    from storage.spec_file import stored_spec
    from storage.table import legend, make_table, write_table

    folder = storage_root(root).existing_study(name)
    made = make_table(folder.results.rows(), stored_spec(folder))
    console().print(*paper_tables(made))
    click.echo(legend(made))
    for path in write_table(made, folder.path):
        click.echo(f"wrote {path}")


@study.command()
@click.argument("name")
@root_option
@click.option("--out", type=FOLDER, default=Path("models"), show_default=True)
@click.option("--trial", "trials", type=int, multiple=True, help="Export this trial instead.")
@told
def export(name: str, root: Path, out: Path, trials: tuple[int, ...]) -> None:
    """Export a model of each configuration on the front of the study NAME.

    Of a configuration's seeds the best in the first objective is taken, on the split the study
    searches on. A model is a folder with weights, model.json, a model card and checksums.
    """
    from storage.export import export_study
    from storage.spec_file import stored_spec

    storage = storage_root(root)
    spec = stored_spec(storage.existing_study(name))
    for path in export_study(storage, spec, out, trials):
        click.echo(path)


@main.command()
@click.option("--dataset", show_default="birds", help="Its name (see below).")
@click.option("--backbone", show_default="patch-descriptor", help="Its name, perhaps with options.")
@click.option("--data", type=FOLDER, help="Folder of the images (not needed for synthetic birds).")
@click.option("--weights", type=FILE, help="Checkpoint file, instead of one in QPMSTUDY_WEIGHTS.")
@click.option("--batch", type=click.IntRange(min=1), help="Images embedded at once.  [default: 32]")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="Of the backbone.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode images.")
@click.option("--skip-broken", is_flag=True, help="Leave out images that cannot be decoded.")
@click.option("--force", is_flag=True, help="Replace a store that is there.")
@click.option("--ray", "on_ray", is_flag=True, help="Spread over a Ray cluster, or this machine.")
@click.option("--list", "show_list", is_flag=True, help="Only list the stores there are.")
@click.option("--verify", is_flag=True, help="Only compare stores with their checksums.")
@root_option
@embeddings_option
@told
def embed(
    root: Path,
    embeddings: str | None,
    on_ray: bool,
    show_list: bool,
    verify: bool,
    **options: Any,
) -> None:
    """Compute frozen embeddings once, into a Zarr store that every study shares.

    Stopped at any moment, it goes on with the shards that are missing.

    With --ray each shard is a task: of the cluster that RAY_ADDRESS names, whose nodes must see
    images, weights and store under the same paths, or of this machine.

    \b
    Datasets: birds (synthetic, made on first use; also birds-full, birds-small, birds-smoke,
      birds-stress), cub2011, stanford-cars, fgvc-aircraft (also ...-cropped to bounding boxes),
      and folder-NAME: class folders of your own.
    Backbones: patch-descriptor, pixels, resnet50, dino-vits16, dino-vitb8, dinov2-vitb14-reg,
      dinov3-vitb16 and their other sizes. Options stand behind the name:
      dinov2-vitb14-reg@layer=11,norm=no,size=448,precision=bfloat16
    """
    storage = storage_root(root, embeddings)
    if show_list or verify:
        from storage.inventory import listing, verify_lines

        if show_list:
            click.echo("\n".join(listing(storage)))
        if verify:
            lines, whole = verify_lines(storage, options["dataset"], options["backbone"])
            click.echo("\n".join(lines), err=not whole)
            sys.exit(0 if whole else 1)
        return
    from cluster.reporter import Reporter
    from storage.prepare import embed_named, summary

    if on_ray:
        from cluster.embedding import fill_on_ray

        options["fill"] = fill_on_ray(options["weights"])
    store = embed_named(storage, Reporter(console()).phase, **options)
    click.echo("\n".join(summary(store)))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--features", type=int, required=True, help="How many to select (N*).")
@click.option("--per-class", type=int, default=5, show_default=True, help="How many a class uses.")
@click.option("--method", type=click.Choice(["qpm", "sldd", "qsenn"]), default="qpm")
@click.option(
    "--solver", default="auto", show_default=True, help="auto, lagrangian, gurobi, highs."
)
@click.option(
    "--fallback",
    type=click.Choice(["fail", "lagrangian"]),
    default="fail",
    show_default=True,
    help="What to do where the solver named cannot be had.",
)
@click.option(
    "--pair-rule",
    type=click.Choice(["correct", "reference"]),
    default="correct",
    show_default=True,
    help="Which similar features are penalised as a pair.",
)
@click.option("--gap", type=float, default=5e-3, show_default=True, help="Stop at this proof.")
@click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write selected, weight and bias here (.npz)."
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw objective and bound (.png).")
@told
def select(
    file: Path, seed: int, threads: int, out: Path | None, plot: Path | None, **options: Any
) -> None:
    """Select features alone: FILE is an .npz with `features` (N, F) and `labels` (N,).

    qpm solves the quadratic program and prints its certificate: the objective, a proven bound,
    and the gap between them; an array `bias` (F,) in FILE is what selecting a feature is worth by
    itself. sldd and qsenn are the elastic-net selections that came before it; qsenn is one of its
    rounds.
    """
    from qpmstudy.config import SelectConfig
    from qpmstudy.files import write_bytes
    from qpmstudy.plots import certificate_figure
    from qpmstudy.selection.alone import describe, read_features, save_layer, select_layer

    data = read_features(file)
    config = SelectConfig(**options)
    with progress_line() as show:
        layer, certificate = select_layer(data, config, seed, threads, show)
    click.echo("\n".join(describe(data, layer, certificate)))
    if out:
        save_layer(layer, out)
        click.echo(f"wrote {out}")
    if plot and certificate is None:
        click.echo(f"No plot: {config.method} has no certificate.", err=True)
    elif plot and certificate is not None:
        title = f"{config.features} of {data.values.shape[1]} features, {certificate.solver}"
        write_bytes(plot, certificate_figure(certificate.trace, title))
        click.echo(f"wrote {plot}")


@contextmanager
def progress_line() -> Iterator[Callable[[Progress], None] | None]:
    """Yield what rewrites one line of the terminal as a solve goes on; None without a terminal."""
    from qpmstudy.selection.alone import progress_text

    shown = -math.inf

    def show(step: Progress) -> None:
        nonlocal shown
        if step.seconds - shown >= 0.1:
            shown = step.seconds
            click.echo(f"\r{progress_text(step)}", nl=False, err=True)

    on_terminal = sys.stderr.isatty()
    try:
        yield show if on_terminal else None
    finally:
        if on_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)


@main.command(name="license")
@told
def show_license() -> None:
    """Say which Gurobi license this machine has, and how many solves may use it at once.

    Gurobi is optional: without a license, or for problems that it does not cover, the open solver
    selects. A local study offers as many tokens as are named here; nodes of a cluster declare
    theirs when they join it: ray start --resources='{"gurobi": 1}'.
    """
    from qpmstudy.selection.licenses import TOKENS, probe

    found = probe()
    size = "any size" if found.covers_all_sizes else "2000 variables and 2000 rows"
    click.echo(f"license: {found.kind.value}")
    if found.reason:
        click.echo(f"not usable: {found.reason}")
    else:
        click.echo(f"models up to: {size}")
    if found.expires:
        click.echo(f"expires: {found.expires}")
    click.echo(f"tokens: {found.tokens} (set {TOKENS} to change it)")


@main.command()
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


if __name__ == "__main__":
    logging.captureWarnings(True)
    main()
