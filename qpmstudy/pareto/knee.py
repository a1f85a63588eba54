"""The knee of a front: the point that bulges most beyond the plane through its ends.

Das, "On characterizing the 'knee' of the Pareto curve based on normal-boundary intersection",
1999; with objectives scaled to what the front spans, that plane is the one where they sum to 1.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from qpmstudy.pareto.front import to_maximise

FLAT = 1e-9
"""A bulge of less, in units of the front's range, is none."""


def knee_point(
    values: Float[np.ndarray, "n m"], maximise: Sequence[bool], on_front: Bool[np.ndarray, " n"]
) -> int | None:
    """Return which point is the knee; None for a front of two, a straight or a hollow one.

    A front of one point, or of equal ones, has its first as knee. Of equal bulges the first counts.
    """
    front = np.flatnonzero(on_front)
    if not len(front):
        return None
    points = to_maximise(values, maximise)[front]
    low, span = points.min(0), np.ptp(points, axis=0)
    if not span.any():
        return int(front[0])
    varied = span > 0
    scaled = (points[:, varied] - low[varied]) / span[varied]
    bulge = scaled.sum(1) - 1
    best = int(bulge.argmax())
    return int(front[best]) if bulge[best] > FLAT else None
