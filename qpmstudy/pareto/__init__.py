"""Pareto fronts of configurations that were run with several seeds.

Symbols in shapes: n configurations, s seeds, m objectives, d draws.

front.py         which points no other beats, and which beats one that is beaten
hypervolume.py   how much a front dominates, at once and as it grows
bootstrap.py     what the means over seeds might have been
knee.py          the point of a front beyond which every gain costs most
constraints.py   "accuracy >= 0.85": what a configuration must keep to
analysis.py      all of it for one table of values
"""

from qpmstudy.pareto.analysis import FrontAnalysis, Growth, SeedTable, analyse
from qpmstudy.pareto.bootstrap import drawn_means
from qpmstudy.pareto.constraints import Constraint, parse_constraint
from qpmstudy.pareto.front import best_dominators, non_dominated
from qpmstudy.pareto.hypervolume import growth, hypervolume, hypervolumes
from qpmstudy.pareto.knee import knee_point

__all__ = [
    "Constraint",
    "FrontAnalysis",
    "Growth",
    "SeedTable",
    "analyse",
    "best_dominators",
    "drawn_means",
    "growth",
    "hypervolume",
    "hypervolumes",
    "knee_point",
    "non_dominated",
    "parse_constraint",
]
