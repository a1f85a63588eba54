"""Figures, as PNG.

front.py         a Pareto front
growth.py        its hypervolume, configuration by configuration
importance.py    how much each parameter decides
certificate.py   objective and bound of a selection over time
table.py         a table or figure of the paper, from a study's results
style.py         what they have in common
"""

from qpmstudy.plots.certificate import certificate_figure
from qpmstudy.plots.front import FrontPoint, Objective, front_figure
from qpmstudy.plots.growth import growth_figure
from qpmstudy.plots.importance import importance_figure
from qpmstudy.plots.table import Series, dots_figure, heat_figure, lines_figure

__all__ = [
    "FrontPoint",
    "Objective",
    "Series",
    "certificate_figure",
    "dots_figure",
    "front_figure",
    "growth_figure",
    "heat_figure",
    "importance_figure",
    "lines_figure",
]
