"""qpmstudy select and license: feature selection by itself, and who may use which solver."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.commands.options import told
from qpmstudy.config import SelectConfig

if TYPE_CHECKING:
    from qpmstudy.selection import Progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--features", type=int, required=True, help="How many to select (N*).")
@click.option(
    "--per-class",
    type=int,
    default=SelectConfig.per_class,
    show_default=True,
    help="How many a class uses.",
)
@click.option(
    "--method",
    type=click.Choice(["qpm", "sldd", "qsenn"]),
    default=SelectConfig.method,
    show_default=True,
    help="How to select.",
)
@click.option(
    "--solver",
    default=SelectConfig.solver,
    show_default=True,
    help="auto, lagrangian, gurobi, highs.",
)
@click.option(
    "--fallback",
    type=click.Choice(["fail", "lagrangian"]),
    default=SelectConfig.fallback,
    show_default=True,
    help="What to do where the solver named cannot be had.",
)
@click.option(
    "--pair-rule",
    type=click.Choice(["correct", "reference"]),
    default=SelectConfig.pair_rule,
    show_default=True,
    help="Which similar features are penalised as a pair.",
)
@click.option(
    "--gap", type=float, default=SelectConfig.gap, show_default=True, help="Stop at this proof."
)
@click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is random in it.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the solver."
)
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


@click.command(name="license")
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
