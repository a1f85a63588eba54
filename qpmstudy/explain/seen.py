"""What a model made of many images, and which of them are worth showing.

n images, C classes, F features of the model, meant by their column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int64


@dataclass(frozen=True)
class Seen:
    """What a model made of n images.

    Attributes:
        labels: true class of each.
        probabilities: of each class.
        scores: standardised feature vectors, which the head weighs.
        strength: the largest value of each feature's map, 1 at the feature's usual peak.
    """

    labels: Int64[np.ndarray, " n"]
    probabilities: Float[np.ndarray, "n C"]
    scores: Float[np.ndarray, "n F"]
    strength: Float[np.ndarray, "n F"]

    @cached_property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        """Return the most probable class of each image."""
        predicted: Int64[np.ndarray, " n"] = self.probabilities.argmax(1)
        return predicted

    def best(self, label: int, count: int) -> list[int]:
        """Return images of a class: those it was recognised in first, by their probability."""
        mine = np.flatnonzero(self.labels == label)
        wrong = self.predicted[mine] != label
        order = np.lexsort((-self.probabilities[mine, label], wrong))
        found: list[int] = mine[order][:count].tolist()
        return found

    def strongest(self, feature: int, classes: Sequence[int], count: int, each: int) -> list[int]:
        """Return the images of some classes that a feature fires most in, at most `each` a class.

        One class alone would say little about what the feature is.
        """
        return self._first(-self.strength[:, feature], classes, count, each)

    def weakest(self, feature: int, classes: Sequence[int], count: int, each: int) -> list[int]:
        """Return those that it fires least in, the least first."""
        return self._first(self.strength[:, feature], classes, count, each)

    def _first(
        self, rank: Float[np.ndarray, " n"], classes: Sequence[int], count: int, each: int
    ) -> list[int]:
        mine = np.flatnonzero(np.isin(self.labels, classes))
        taken: dict[int, int] = {}
        found: list[int] = []
        for position in mine[np.argsort(rank[mine], kind="stable")].tolist():
            label = int(self.labels[position])
            if taken.get(label, 0) < each and len(found) < count:
                taken[label] = taken.get(label, 0) + 1
                found.append(position)
        return found

    def failures(self) -> list[int]:
        """Return the images taken for another class, the surest mistakes first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        sure = self.probabilities[wrong, self.predicted[wrong]]
        found: list[int] = wrong[np.argsort(-sure, kind="stable")].tolist()
        return found

    def nearest(self, scores: Float[np.ndarray, " F"], label: int) -> tuple[int, float] | None:
        """Return the image of a class whose feature vector is most alike, and how alike.

        Alike is the cosine of standardised feature vectors: 1 is the same direction, 0 nothing in
        common. None if there is no image of the class.
        """
        mine = np.flatnonzero(self.labels == label)
        if not len(mine):
            return None
        lengths = np.linalg.norm(self.scores[mine], axis=1) * np.linalg.norm(scores)
        cosine = self.scores[mine] @ scores / np.maximum(lengths, 1e-12)
        best = int(cosine.argmax())
        return int(mine[best]), float(cosine[best])
