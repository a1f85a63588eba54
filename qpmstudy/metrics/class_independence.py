"""Class-Independence: do features stand for something that classes share? (paper section 8)"""

import torch
from jaxtyping import Float, Int

from qpmstudy.metrics.arrays import Array, as_real, as_tensor
from qpmstudy.metrics.dead_features import live_features


def class_independence(features: Float[Array, "N F"], labels: Int[Array, " N"]) -> float:
    """Return tau = 1 - mean_d max_c phi_cd, in [0, 1): 0 if each feature fires for one class.

    phi_cd is the share of feature d's activation above its minimum that falls on class c.
    Dead features have none and are left out of the mean (the reference counts each as 1).
    """
    values = as_real(features)[:, live_features(features)].double()
    values = values - values.amin(0)
    classes = as_tensor(labels).long().to(values.device)
    per_class = values.new_zeros(int(classes.max()) + 1, values.shape[1])
    per_class.index_add_(0, classes, values)
    largest_share = per_class.amax(0) / values.sum(0)
    return float(1 - torch.mean(largest_share))
