"""What a metric is worth class by class."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from qpmstudy.metrics.arrays import Array, as_tensor


def class_means(
    values: Shaped[Array, " N"], labels: Int[Array, " N"], classes: int
) -> Float[Tensor, " C"]:
    """Return the mean of the images' values for each class, NaN for a class without an image.

    Of hits it is the accuracy of the class.
    """
    numbers = as_tensor(values).double()
    members = as_tensor(labels).long().to(numbers.device)
    sums = numbers.new_zeros(classes).index_add_(0, members, numbers)
    counts = torch.bincount(members, minlength=classes)
    return (sums / counts).float()
