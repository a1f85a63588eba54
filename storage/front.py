"""The Pareto front of a study as files: a picture and a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from qpmstudy.files import write_bytes
from qpmstudy.plots import FrontPoint, front_figure
from storage.layout import StudyFolder
from storage.study import StudySpec
from storage.summary import Configuration


def write_front(
    configurations: Sequence[Configuration], spec: StudySpec, folder: StudyFolder
) -> list[Path]:
    """Write pareto.png (for two objectives) and pareto.csv, and return their paths."""
    table = folder.path / "pareto.csv"
    write_bytes(table, _csv(configurations, spec).encode())
    if len(spec.objectives) != 2:
        return [table]
    x, y = spec.objectives
    points = [
        FrontPoint(
            label=", ".join(
                f"{name.rpartition('.')[2]} {value:g}" if isinstance(value, float) else str(value)
                for name, value in c.searched.items()
            ),
            x=c.estimates[x].mean,
            y=c.estimates[y].mean,
            x_error=c.estimates[x].standard_error,
            y_error=c.estimates[y].standard_error,
            on_front=c.on_front,
        )
        for c in configurations
        if c.complete
    ]
    picture = folder.path / "pareto.png"
    note = f"{spec.objective_split} split, mean and standard error over {spec.seeds} seeds"
    write_bytes(picture, front_figure(points, x, y, spec.name, note))
    return [picture, table]


def _csv(configurations: Sequence[Configuration], spec: StudySpec) -> str:
    names = list(configurations[0].estimates) if configurations else list(spec.objectives)
    parameters = [parameter.name for parameter in spec.parameters]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{name}{end}" for name in names for end in ("", "_standard_error")]
    writer.writerow(["trial", "on_front", "complete", "failed", *parameters, *columns])
    for c in configurations:
        values = [v for n in names for v in (c.estimates[n].mean, c.estimates[n].standard_error)]
        searched = [c.searched[name] for name in parameters]
        writer.writerow([c.trial, c.on_front, c.complete, c.failed, *searched, *values])
    return text.getvalue()
