"""qpmstudy study pareto, report and tensorboard: what came out of studies."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.commands.options import FILE, FOLDER, console, root_option, storage_root, told


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@root_option
@click.option("--all", "show_all", is_flag=True, help="Show every configuration, and why not.")
@click.option(
    "--constraint",
    "constraints",
    multiple=True,
    metavar="TEXT",
    help="What the mean of a metric must keep to: 'accuracy >= 0.85', 'n_features <= 18'.",
)
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="METRIC:max|min",
    help="Another objective than the study's: give each. Any metric column.",
)
@click.option(
    "--out",
    type=FOLDER,
    help="Folder to write into.  [default: the study's; of several, ROOT/_pareto]",
)
@told
def pareto(
    names: tuple[str, ...],
    root: Path,
    show_all: bool,
    constraints: tuple[str, ...],
    objectives: tuple[str, ...],
    out: Path | None,
) -> None:
    """Print the Pareto front of the study NAME, or of several together, and draw it.

    Figures are means over seeds with their standard error, on the split the study searches on;
    test figures stand beside them and took no part in the choice. With it: how probably each is
    on the front, hypervolume, knee, what keeps others off, which parameters decide, and what is
    to be known before it is believed.

    Writes pareto.csv, pareto.parquet and the pictures pareto.png, pareto_hypervolume.png and
    pareto_importance.png.
    """
    from cluster.importance import importances
    from cluster.pareto_view import pareto_view
    from storage.analysis import pareto_result, parse_objectives, read_results
    from storage.front import write_front
    from storage.health import findings
    from storage.probe import best_probe

    storage = storage_root(root)
    studies = read_results(storage, names)
    result = pareto_result(studies, parse_objectives(objectives), constraints)
    decisive = importances(result)
    checks = findings(result, best_probe(storage, result))
    screen = console()
    screen.print(pareto_view(result, decisive, checks, show_all, screen))
    folder = out or (storage.study(names[0]).path if len(names) == 1 else storage.comparisons)
    for path in write_front(result, folder, {one.study: one.shares for one in decisive}):
        click.echo(f"wrote {path}")


@click.command()
@click.argument("name")
@root_option
@click.option("--out", type=FILE, help="Where to write it.  [default: report.html in its folder]")
@told
def report(name: str, root: Path, out: Path | None) -> None:
    """Write the study NAME as one HTML file, for any browser, to be sent to anybody.

    It needs no server and no network. The front can be pointed at and filtered; a click on a
    configuration shows its curves, the certificate of its selection, and explained images. These
    are in the file for the front and what comes close to it: 60 configurations, 3 MB of pictures.
    """
    from dataclasses import asdict

    from cluster.importance import importances
    from cluster.replication import study_over
    from cluster.tables import cautions
    from qpmstudy.files import write_bytes
    from storage.analysis import pareto_result, read_results
    from storage.health import findings
    from storage.probe import best_probe
    from storage.report import report_data, report_page

    storage = storage_root(root)
    result = pareto_result(read_results(storage, [name]))
    (decisive,) = importances(result)
    said = [asdict(finding) for finding in findings(result, best_probe(storage, result))]
    (one,) = result.studies
    said += [{"level": "note", "text": text} for text in cautions(one.spec)]
    over = study_over(one.spec, one.rows)
    page = report_page(report_data(storage, result, asdict(decisive), said, over))
    path = out or storage.study(name).path / "report.html"
    write_bytes(path, page.encode())
    click.echo(f"wrote {path}")


@click.command()
@click.argument("name")
@root_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: any that is free.  [default: the first free one from 6006 on]",
)
@told
def tensorboard(name: str, root: Path, port: int | None) -> None:
    """Show the study NAME in TensorBoard, on this machine alone, until Ctrl-C.

    Curves while it runs, HParams with every value and the metrics of both phases, a card and
    overlays of each trial. Listens on 127.0.0.1; from elsewhere: ssh -L 6006:127.0.0.1:6006 HOST.
    """
    import threading

    from cluster.tensorboard_server import start_tensorboard

    folder = storage_root(root).existing_study(name)
    url = start_tensorboard(folder.tensorboard, port)
    click.echo(f"{name}: {url} (Ctrl-C ends it)")
    if not any(folder.tensorboard.glob("trial-*")):
        click.echo("No run has written anything yet: what comes is shown as it comes.", err=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("TensorBoard is stopped.")
