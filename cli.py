"""qpmstudy on the command line; the commands themselves are in cluster/commands/."""

import logging
import os
import sys
from pathlib import Path

import click

from cluster.commands.cluster import cluster
from cluster.commands.embed import embed
from cluster.commands.explain import explain
from cluster.commands.infer import infer
from cluster.commands.look import plan, schema, show
from cluster.commands.models import compare, evaluate, verify
from cluster.commands.results import pareto, report, tensorboard
from cluster.commands.select import select, show_license
from cluster.commands.study import study
from cluster.commands.upkeep import cancel, gc


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="qpmstudy")
def main() -> None:
    """Study how hyperparameters of DINO-QPM trade accuracy against Plausibility.

    \b
    A first run, on synthetic birds that are made on the spot:
      python cli.py study launch studies/l1fm.yaml    run it (again: it goes on)
      python cli.py study tensorboard l1fm            watch it
      python cli.py study pareto l1fm                 the front
      python cli.py study export l1fm --out models/   its best models
      python cli.py evaluate models/NAME --split shift
      python cli.py infer models/NAME bird.jpg --explain out/
      python cli.py verify models/NAME                is it still what was exported?
    """


for of_studies in (show, plan, schema, pareto, report, tensorboard, cancel, gc):
    study.add_command(of_studies)
for command in (
    study,
    embed,
    select,
    show_license,
    infer,
    explain,
    evaluate,
    compare,
    verify,
    cluster,
):
    main.add_command(command)


def program() -> None:
    """Run the command line as a program of its own: libraries' warnings do not reach the screen.

    What the screen cannot show, or that there is none, must not be what ends a study.
    """
    logging.captureWarnings(True)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")
    main()


if __name__ == "__main__":
    program()
