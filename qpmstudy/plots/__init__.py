"""Figures, as PNG.

front.py         a Pareto front
certificate.py   objective and bound of a selection over time
table.py         a table or figure of the paper, from a study's results
style.py         what they have in common
"""

from qpmstudy.plots.certificate import certificate_figure
from qpmstudy.plots.front import FrontPoint, front_figure
from qpmstudy.plots.table import Series, dots_figure, heat_figure, lines_figure

__all__ = [
    "FrontPoint",
    "Series",
    "certificate_figure",
    "dots_figure",
    "front_figure",
    "heat_figure",
    "lines_figure",
]
