"""Metrics take torch tensors and numpy arrays alike."""

import numpy as np
import torch
from torch import Tensor

Array = Tensor | np.ndarray


def as_tensor(values: Array) -> Tensor:
    """Return `values` as a tensor without gradients, on its device, sharing memory if it may."""
    if isinstance(values, Tensor):
        return values.detach()
    # torch warns about arrays it could write through, such as those of the object store
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def as_real(values: Array) -> Tensor:
    """Return `values` as a tensor of at least single precision."""
    tensor = as_tensor(values)
    return tensor if tensor.dtype == torch.float64 else tensor.float()
