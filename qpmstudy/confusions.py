"""Which classes a model takes for which others.

n images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

NAMED = 10


class Confusion(NamedTuple):
    """A class that is taken for another one in `times` of its `images`."""

    true: int
    predicted: int
    times: int
    images: int


def confusions(
    labels: Int64[np.ndarray, " n"], predicted: Int64[np.ndarray, " n"]
) -> list[Confusion]:
    """Return each pair of classes that is confused, the most frequent first."""
    wrong = labels != predicted
    pairs, counts = np.unique(
        np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True
    )
    images = np.bincount(labels)
    return [
        Confusion(int(true), int(taken), int(counts[place]), int(images[true]))
        for place in np.argsort(-counts, kind="stable")
        for true, taken in [pairs[place]]
    ]


def confusion_lines(found: Sequence[Confusion], class_names: Sequence[str]) -> list[str]:
    """Return a line for each confusion, at most `NAMED`, and how many more there are."""
    lines = [
        f"{class_names[one.true]} taken for {class_names[one.predicted]}: {one.times} of its "
        f"{one.images} image{'' if one.images == 1 else 's'}"
        for one in found[:NAMED]
    ]
    if len(found) > NAMED:
        lines.append(f"and {len(found) - NAMED} rarer")
    return lines
