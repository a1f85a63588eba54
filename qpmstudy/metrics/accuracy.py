"""Accuracy."""

from jaxtyping import Int

from qpmstudy.metrics.arrays import Array, as_tensor


def accuracy(predicted: Int[Array, " N"], labels: Int[Array, " N"]) -> float:
    """Return the share of images whose predicted class is their label."""
    return float((as_tensor(predicted) == as_tensor(labels)).double().mean())
