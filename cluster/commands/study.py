"""qpmstudy study: launch studies, look at their results, export their models."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from cluster.commands.options import (
    DEFAULT_ROOT,
    FOLDER,
    console,
    root_option,
    storage_options,
    storage_root,
    told,
)


@click.group()
def study() -> None:
    """Launch studies and look at their results."""


@study.command()
@click.argument("file", type=click.Path(path_type=Path))
@storage_options
@click.option("--extend", is_flag=True, help="Allow more trials or seeds than launched before.")
@click.option("--retry-failed", is_flag=True, help="Run seeds that failed before once more.")
@click.option("--time-budget", metavar="TIME", help="Start no more after that time: 90m, 2.5h.")
@click.option("--max-stages", type=int, metavar="N", help="Start no more after N computed stages.")
@click.option("-v", "--verbose", is_flag=True, help="Show what Ray and Tune say, too.")
@told
def launch(
    file: Path,
    root: Path,
    embeddings: str | None,
    extend: bool,
    retry_failed: bool,
    time_budget: str | None,
    max_stages: int | None,
    verbose: bool,
) -> None:
    """Run the study that FILE describes, or go on where it was.

    Every configuration runs once for each seed: dense, select, finetune, evaluate. A stage that
    another trial or an earlier study has computed is reused. Stop it at any moment, even with
    kill -9: launching again does what is left and nothing twice.

    Set RAY_ADDRESS to run on a cluster; otherwise this machine is used.
    """
    from cluster.budget import Budget
    from storage.study import load_study

    budget = Budget.parse(time_budget, max_stages)
    spec = load_study(file)
    click.echo(f"study {spec.name}: loading torch and Ray ...")
    from cluster.launch import launch as run  # seconds of imports, after the first sign of life
    from cluster.logs import quiet
    from cluster.pace import duration
    from cluster.reporter import Reporter
    from cluster.tables import front_table

    storage = storage_root(root, embeddings)
    screen = console()
    with quiet(storage.study(spec.name).log, verbose):
        outcome = run(spec, storage, Reporter(screen), extend, retry_failed, verbose, budget)
    screen.print(front_table(outcome.configurations, spec))
    click.echo(f"{duration(outcome.seconds)}; results: {storage.study(spec.name).path}")
    if any(c.complete for c in outcome.configurations):
        click.echo(f"next: python cli.py study pareto {spec.name}{_below(root)}")
    if outcome.configurations and not any(c.complete for c in outcome.configurations):
        click.echo("Every run failed; see the errors above.", err=True)
        sys.exit(1)
    if outcome.unfinished:
        click.echo(
            f"{outcome.unfinished} trial(s) are unfinished: launch again to go on.", err=True
        )
        sys.exit(1)


def _below(root: Path) -> str:
    """Return the option that leads other commands to the same root; nothing for the usual one."""
    return "" if root == DEFAULT_ROOT else f" --root {shlex.quote(str(root))}"


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

    storage = storage_root(root)
    if not storage.studies():
        click.echo(
            f"There are no studies in {root}. Launch one: python cli.py study launch "
            "studies/l1fm.yaml"
        )
        return
    console().print(studies_table(storage))


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
    from cluster.paper_tables import paper_tables
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
@click.option(
    "--out", type=FOLDER, default=Path("models"), show_default=True, help="Folder of the models."
)
@click.option(
    "--pick",
    "picks",
    multiple=True,
    default=("front",),
    show_default=True,
    metavar="PICK",
    help="knee, best:METRIC, front, or the number of a trial; may be given several times.",
)
@click.option("--onnx", is_flag=True, help="Write adapter and head as model.onnx, too.")
@told
def export(name: str, root: Path, out: Path, picks: tuple[str, ...], onnx: bool) -> None:
    """Export models of the study NAME: of each configuration on the front, or of those picked.

    Of a configuration's seeds the best is taken, on the split the study searches on. A model is a
    folder with weights, model.json, a model card, an example and checksums; `verify` checks it.
    """
    from storage.export import export_study
    from storage.spec_file import stored_spec

    storage = storage_root(root)
    spec = stored_spec(storage.existing_study(name))
    for path in export_study(storage, spec, out, picks, onnx):
        click.echo(path)
