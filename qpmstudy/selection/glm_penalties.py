"""Penalties of a multinomial logistic regression that set weights, or whole features, to zero.

W (C, F) weights of C classes, lambda strength, alpha share of the part that makes zeros.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

_SHORTEST = 1e-100


@dataclass(frozen=True)
class Penalty(ABC):
    """lambda * (alpha * N(W) + (1 - alpha) / 2 * ||W||_F^2) for a norm N of the weights."""

    strength: float
    alpha: float

    @cached_property
    def threshold(self) -> float:
        """lambda * alpha: a zero stays zero while its gradient is no larger than this."""
        return self.strength * self.alpha

    @cached_property
    def ridge(self) -> float:
        """lambda * (1 - alpha)."""
        return self.strength * (1 - self.alpha)

    def value(self, W: Float64[np.ndarray, "C F"]) -> float:
        """Return the penalty of W."""
        return self.threshold * self.norm(W) + self.ridge / 2 * float((W * W).sum())

    @abstractmethod
    def norm(self, W: Float64[np.ndarray, "C F"]) -> float:
        """Return N(W)."""

    @abstractmethod
    def proximal(self, W: Float64[np.ndarray, "C F"], step: float) -> Float64[np.ndarray, "C F"]:
        """Return the V that minimises step * value(V) + ||V - W||_F^2 / 2."""

    @abstractmethod
    def violation(
        self, W: Float64[np.ndarray, "C F"], gradient: Float64[np.ndarray, "C F"]
    ) -> float:
        """Return how far from zero the nearest subgradient is, given the loss's gradient at W.

        It is measured where N makes zeros: at the worst weight, or at the worst feature.
        """


class ElasticNet(Penalty):
    """N is the sum of absolute values: single weights become zero (Zou and Hastie 2005)."""

    def norm(self, W: Float64[np.ndarray, "C F"]) -> float:
        """Return the sum of absolute values."""
        return float(np.abs(W).sum())

    def proximal(self, W: Float64[np.ndarray, "C F"], step: float) -> Float64[np.ndarray, "C F"]:
        """Return W soft-thresholded entry by entry, then shrunk."""
        sizes = np.maximum(np.abs(W) - step * self.threshold, 0.0)
        result: Float64[np.ndarray, "C F"] = np.copysign(sizes, W) / (1 + step * self.ridge)
        return result

    def violation(
        self, W: Float64[np.ndarray, "C F"], gradient: Float64[np.ndarray, "C F"]
    ) -> float:
        """Return the largest entry of the nearest subgradient."""
        slope = gradient + self.ridge * W
        at_zero = np.maximum(np.abs(slope) - self.threshold, 0.0)
        elsewhere = np.abs(slope + self.threshold * np.sign(W))
        return float(np.where(W != 0, elsewhere, at_zero).max())


class GroupElasticNet(Penalty):
    """N is the sum over features of the norm of their weights: whole features become zero."""

    def norm(self, W: Float64[np.ndarray, "C F"]) -> float:
        """Return the sum of the column norms."""
        return float(np.linalg.norm(W, axis=0).sum())

    def proximal(self, W: Float64[np.ndarray, "C F"], step: float) -> Float64[np.ndarray, "C F"]:
        """Return W with every column shortened by the threshold, then shrunk."""
        shares = np.maximum(1 - step * self.threshold / _lengths(W), 0.0)
        result: Float64[np.ndarray, "C F"] = shares * W / (1 + step * self.ridge)
        return result

    def violation(
        self, W: Float64[np.ndarray, "C F"], gradient: Float64[np.ndarray, "C F"]
    ) -> float:
        """Return the largest column norm of the nearest subgradient."""
        slope = gradient + self.ridge * W
        at_zero = np.maximum(np.linalg.norm(slope, axis=0) - self.threshold, 0.0)
        elsewhere = np.linalg.norm(slope + self.threshold * W / _lengths(W), axis=0)
        return float(np.where(W.any(axis=0), elsewhere, at_zero).max())


def _lengths(W: Float64[np.ndarray, "C F"]) -> Float64[np.ndarray, " F"]:
    """Return the norms of the columns, safe to divide by."""
    lengths: Float64[np.ndarray, " F"] = np.maximum(np.linalg.norm(W, axis=0), _SHORTEST)
    return lengths
