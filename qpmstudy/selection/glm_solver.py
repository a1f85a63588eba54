"""Penalised multinomial logistic regression, solved until its optimality conditions hold.

The method is SpaRSA (Wright, Nowak and Figueiredo 2009): proximal gradient steps of the two
Barzilai-Borwein lengths in turn, accepted when they improve on the worst of the last few
objectives. N images, F features, C classes, D = F + 1. Coefficients (C, D) are weights with the
bias, which no penalty touches, as their last column.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from qpmstudy.errors import SolverError
from qpmstudy.selection.glm_penalties import Penalty

TOLERANCE = 1e-2
"""Largest entry of the subgradient at a solution, as a share of the penalty's threshold.

Neighbours on a path of 100 strengths differ by 7 % in their thresholds.
"""
MAX_STEPS = 20_000
_MEMORY = 10
_DECREASE = 1e-4
_LONGEST_STEP = 1e8
_ROUNDING = 1e-13


@dataclass(frozen=True)
class MultinomialLoss:
    """Mean cross-entropy of linear logits on the images it was made from."""

    design: Float64[np.ndarray, "N D"]
    """Features, and a last column of ones."""
    labels: Int[np.ndarray, " N"]
    n_classes: int

    @classmethod
    def of(
        cls, features: Float64[np.ndarray, "N F"], labels: Int[np.ndarray, " N"]
    ) -> "MultinomialLoss":
        """Return the loss on these features, with labels 0..C-1."""
        design = np.column_stack([features, np.ones(len(features))])
        return cls(design, labels, int(labels.max()) + 1)

    def null(self) -> Float64[np.ndarray, "C D"]:
        """Return the best coefficients without weights: the classes' log shares, centred."""
        coefficients = np.zeros((self.n_classes, self.design.shape[1]))
        log_counts = np.log(np.bincount(self.labels, minlength=self.n_classes))
        coefficients[:, -1] = log_counts - log_counts.mean()
        return coefficients

    def value_and_gradient(
        self, coefficients: Float64[np.ndarray, "C D"]
    ) -> tuple[float, Float64[np.ndarray, "C D"]]:
        """Return the loss, and its derivatives by the coefficients."""
        rows = np.arange(len(self.labels))
        scores = self.design @ coefficients.T
        scores -= scores.max(axis=1, keepdims=True)
        of_label = float(scores[rows, self.labels].sum())
        np.exp(scores, out=scores)
        totals = scores.sum(axis=1, keepdims=True)
        value = (float(np.log(totals).sum()) - of_label) / len(rows)
        scores /= totals
        scores[rows, self.labels] -= 1.0
        return value, scores.T @ self.design / len(rows)


class _Point(NamedTuple):
    coefficients: Float64[np.ndarray, "C D"]
    gradient: Float64[np.ndarray, "C D"]
    objective: float

    @classmethod
    def at(
        cls, loss: MultinomialLoss, penalty: Penalty, coefficients: Float64[np.ndarray, "C D"]
    ) -> "_Point":
        value, gradient = loss.value_and_gradient(coefficients)
        return cls(coefficients, gradient, value + penalty.value(coefficients[:, :-1]))

    def violation(self, penalty: Penalty) -> float:
        of_bias = float(np.abs(self.gradient[:, -1]).max())
        return max(of_bias, penalty.violation(self.coefficients[:, :-1], self.gradient[:, :-1]))


def minimise(
    loss: MultinomialLoss, penalty: Penalty, start: Float64[np.ndarray, "C D"]
) -> Float64[np.ndarray, "C D"]:
    """Return the coefficients that minimise loss + penalty, found from `start`.

    At the returned point no entry of the shortest subgradient exceeds `TOLERANCE` times the
    penalty's threshold.

    Raises:
        SolverError: that precision was not reached in `MAX_STEPS` steps.
    """
    goal = TOLERANCE * penalty.threshold
    point = _Point.at(loss, penalty, start)
    recent = [point.objective]
    step = 1.0
    for count in range(MAX_STEPS):
        if point.violation(penalty) <= goal:
            return point.coefficients
        last = point
        point, step = _advance(loss, penalty, last, max(recent), step)
        recent = [*recent, point.objective][-_MEMORY:]
        step = _next_step(last, point, step, long=count % 2 == 1)
    raise SolverError(
        f"The sparse logistic regression is not optimal after {MAX_STEPS} steps: a derivative "
        f"is {point.violation(penalty):.2g}, not below {goal:.2g}. Its features may be almost "
        f"the same: train with fewer features, or select fewer."
    )


def _advance(
    loss: MultinomialLoss, penalty: Penalty, point: _Point, highest: float, step: float
) -> tuple[_Point, float]:
    """Return an acceptable next point, and the length of the step that led there."""
    rounding = _ROUNDING * abs(highest)
    while True:
        moved = point.coefficients - step * point.gradient
        moved[:, :-1] = penalty.proximal(moved[:, :-1], step)
        distance = float(((moved - point.coefficients) ** 2).sum())
        candidate = _Point.at(loss, penalty, moved)
        if candidate.objective <= highest - _DECREASE / (2 * step) * distance + rounding:
            return candidate, step
        step /= 2


def _next_step(last: _Point, point: _Point, step: float, long: bool) -> float:
    """Return a Barzilai-Borwein length: |s|^2 / s.g (long) or s.g / |g|^2 (short)."""
    s, g = point.coefficients - last.coefficients, point.gradient - last.gradient
    curvature = float((s * g).sum())
    if curvature <= 0:  # rounding: the loss is convex
        return step
    length = float((s * s).sum()) / curvature if long else curvature / float((g * g).sum())
    return min(length, _LONGEST_STEP)
