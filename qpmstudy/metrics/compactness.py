"""How small a classifier is (paper Table 2)."""

from qpmstudy.classifier import Classifier
from qpmstudy.columns import COMPACTNESS


def compactness(model: Classifier) -> dict[str, float]:
    """Return the values of COMPACTNESS.

    - n_features: the features it computes (N*, or N_f of a dense model).
    - features_per_class: those with a non-zero weight, mean over classes.
    - parameters: the adapter's weights, biases, and batch norm's scale and shift; the head's
      non-zero weights and its biases. Not counted are the frozen backbone and what is measured
      rather than learned: batch norm's statistics and the sparse head's mean and deviation.
    """
    used = int((model.weight != 0).sum())
    bias = model.head.bias
    adapter = sum(parameter.numel() for parameter in model.adapter.parameters())
    values = (
        float(model.weight.shape[1]),
        used / len(model.weight),
        float(adapter + used + (0 if bias is None else bias.numel())),
    )
    return dict(zip(COMPACTNESS, values, strict=True))
