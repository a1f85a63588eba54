"""Which features does a model keep, and which class uses which? The quadratic problem of QPM.

problem     what is asked
base        the answer, its proof, what a solver offers
constants   relevance, similarity and pair penalties, made from features and labels
locality    the term b of the objective: what a feature's locality is worth
spread      the threshold of the pair penalties
assignment  the best assignment for given features, no two classes alike
search      swap search for good selections
cuts, incidence, relaxation, branch   upper bounds and proof
linear, linear_run                    the same as a mixed-integer linear programme
lagrangian, gurobi, highs, auto       the solvers
solving     a solver by its name, its answer checked, the open solver if it has none
licenses, gurobi_environment          Gurobi's license: which, held by whom, why not
training_data                         what all of them refuse of features and labels
glm, glm_penalties, glm_solver        sparse logistic regression and its path
sldd, sldd_features, qsenn            the selections that came before QPM's
methods     all of them by name, and how a model is fine-tuned after each
alone       any of them by itself, from a file of features
"""

from qpmstudy.selection.base import (
    Limits,
    Progress,
    Selection,
    Solver,
    Status,
    Trace,
    relative_gap,
)
from qpmstudy.selection.constants import pair_penalties, relevance, similarity
from qpmstudy.selection.problem import SelectionProblem
from qpmstudy.selection.solving import SOLVERS, solve

__all__ = [
    "SOLVERS",
    "Limits",
    "Progress",
    "Selection",
    "SelectionProblem",
    "Solver",
    "Status",
    "Trace",
    "pair_penalties",
    "relative_gap",
    "relevance",
    "similarity",
    "solve",
]
