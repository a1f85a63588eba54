"""Which feature is painted in which colour: on all pages of a model in the same, if it can be.

C classes, F features, meant by their column.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import count

import numpy as np
from jaxtyping import Float

from qpmstudy.explain.overlays import PALETTE, Colour, colour


def page_colours(weight: Float[np.ndarray, "C F"], order: Iterable[int]) -> dict[int, Colour]:
    """Return a colour for each feature of a page, never the same for two.

    Every feature has one of its own. Of those that have the same, the first in `order` keeps it,
    and the others take what the page leaves free.

    Args:
        weight: W of the model, which tells the features that are seen together.
        order: the features of the page, the most important first.
    """
    used = np.ascontiguousarray(weight != 0)
    own = _own(used.tobytes(), *used.shape)
    keeper: dict[int, int] = {}
    features = list(dict.fromkeys(order))
    for feature in features:
        keeper.setdefault(own[feature], feature)
    free = (position for position in count() if position not in keeper)
    return {
        feature: colour(own[feature] if keeper[own[feature]] == feature else next(free))
        for feature in features
    }


@lru_cache(maxsize=8)
def _own(content: bytes, classes: int, features: int) -> list[int]:
    """Return the place in the palette of each feature's own colour.

    Where there are more features than colours, those that meet most choose first, each the colour
    whose features it meets least: in a class, and where that is equal, in classes that share a
    feature.
    """
    if features <= len(PALETTE):
        return list(range(features))
    used = np.frombuffer(content, bool).reshape(classes, features).astype(np.float64)
    together = used.T @ used
    near = used.T @ (used @ used.T) @ used
    meets = together + near / (near.sum() + 1)
    np.fill_diagonal(meets, 0)
    cost = np.zeros((features, len(PALETTE)))
    own = [0] * features
    for feature in np.argsort(-meets.sum(1), kind="stable").tolist():
        own[feature] = int(cost[feature].argmin())
        cost[:, own[feature]] += meets[:, feature]
    return own
