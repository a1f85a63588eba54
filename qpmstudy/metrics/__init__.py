"""What a model is judged by. Tensors or arrays in, fractions (not percent) out.

N images, P patches, F features, C classes. A value that nothing defines, such as
Contrastiveness without a single live feature, is NaN.
"""

from qpmstudy.metrics.accuracy import accuracy
from qpmstudy.metrics.by_class import class_means
from qpmstudy.metrics.class_independence import class_independence
from qpmstudy.metrics.compactness import compactness
from qpmstudy.metrics.contrastiveness import contrastiveness
from qpmstudy.metrics.dead_features import dead_features
from qpmstudy.metrics.patch_contextualisation import (
    PatchContextualisationMean,
    patch_contextualisation,
)
from qpmstudy.metrics.plausibility import PlausibilityMean, plausibility
from qpmstudy.metrics.sid import SidMean, sid

__all__ = [
    "PatchContextualisationMean",
    "PlausibilityMean",
    "SidMean",
    "accuracy",
    "class_independence",
    "class_means",
    "compactness",
    "contrastiveness",
    "dead_features",
    "patch_contextualisation",
    "plausibility",
    "sid",
]
