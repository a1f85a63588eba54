"""The regularisation path by our solver and by scikit-learn's saga, at the same strengths.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.glm.compare --classes 20 --images 30 --features 50

Prints one Markdown row a solver: seconds for the path, and, at its last strength, the objective,
the largest entry of the nearest subgradient over lambda * alpha, and the weights a class.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from qpmstudy.selection import glm_solver
from qpmstudy.selection.glm import ALPHA, regularisation_path, standardise
from qpmstudy.selection.glm_penalties import ElasticNet
from qpmstudy.selection.glm_solver import MultinomialLoss

LATENT = 20
MAX_EPOCHS = 2000
Solution = tuple[np.ndarray, np.ndarray]


def generated(classes: int, images: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised, correlated features of `images` a class, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), images)
    latent = rng.normal(size=(classes, LATENT))[labels]
    latent += 0.8 * rng.normal(size=latent.shape)
    mixed = latent @ rng.normal(size=(LATENT, features)) / np.sqrt(LATENT)
    noisy = mixed + 0.3 * rng.normal(size=mixed.shape) - 0.5
    return standardise(np.maximum(noisy, 0.0)), labels


def saga(X: np.ndarray, labels: np.ndarray, lambdas: np.ndarray, tolerance: float) -> Solution:
    """Return scikit-learn's solution at the last strength, reached by warm starts."""
    model = LogisticRegression(
        l1_ratio=ALPHA,
        solver="saga",
        warm_start=True,
        tol=tolerance,
        max_iter=MAX_EPOCHS,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # on how the penalty is named
        warnings.simplefilter("ignore", ConvergenceWarning)  # the row shows the violation
        for strength in lambdas:
            model.set_params(penalty="elasticnet", C=1 / (strength * len(X))).fit(X, labels)
    return model.coef_, model.intercept_


def row(name: str, seconds: float, loss: MultinomialLoss, last: float, found: Solution) -> str:
    """Return one row of the table."""
    W, bias = found
    penalty = ElasticNet(last, ALPHA)
    value, gradient = loss.value_and_gradient(np.column_stack([W, bias]))
    violation = max(penalty.violation(W, gradient[:, :-1]), float(np.abs(gradient[:, -1]).max()))
    return (
        f"| {name} | {seconds:.2f} | {value + penalty.value(W):.7f} | "
        f"{violation / penalty.threshold:.1e} | {(W != 0).sum() / len(W):.2f} |"
    )


def main() -> None:
    """Run both solvers at several tolerances."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--images", type=int, default=30, help="of each class")
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--steps", type=int, default=30)
    chosen = parser.parse_args()
    X, labels = generated(chosen.classes, chosen.images, chosen.features)
    loss = MultinomialLoss.of(X, labels)
    print("| solver | seconds | objective | violation | weights a class |\n|---|---|---|---|---|")
    lambdas = np.empty(0)
    for tolerance in (glm_solver.TOLERANCE, 1e-4):
        glm_solver.TOLERANCE = tolerance
        start = time.perf_counter()
        path = regularisation_path(X, labels, steps=chosen.steps)
        seconds = time.perf_counter() - start
        lambdas = path.lambdas
        found = path.weights[-1], path.biases[-1]
        print(row(f"ours {tolerance:g}", seconds, loss, float(lambdas[-1]), found), flush=True)
    for tolerance in (1e-3, 1e-4):
        start = time.perf_counter()
        found = saga(X, labels, lambdas, tolerance)
        seconds = time.perf_counter() - start
        print(row(f"saga {tolerance:g}", seconds, loss, float(lambdas[-1]), found), flush=True)


if __name__ == "__main__":
    main()
