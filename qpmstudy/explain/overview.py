"""All classes and features of a model at a glance: which class uses what, similar ones together.

C classes, F features.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage

from qpmstudy.inference import TokenModel
from qpmstudy.plots.style import plain, png

NAMED_CLASSES = 120
"""With more classes a picture has no room for their names; the page has them all."""


@dataclass(frozen=True)
class Overview:
    """The class x feature matrix of a model, in an order in which like stands beside like.

    Attributes:
        title: what the model is called.
        weight: W, ordered; binary for QPM.
        class_names: of the rows.
        features: of the columns: their numbers in the dense model.
    """

    title: str
    weight: Float[np.ndarray, "C F"]
    class_names: tuple[str, ...]
    features: tuple[int, ...]

    def users(self) -> Int[np.ndarray, " F"]:
        """Return how many classes use each feature."""
        counts: np.ndarray = (self.weight != 0).sum(0)
        return counts

    def closest(self) -> list[tuple[str, str, int]]:
        """Return for each class the one that shares most features with it, and how many.

        Of equals the nearest in the order; nothing where the model has a single class.
        """
        used = (self.weight != 0).astype(np.int64)
        shared = used @ used.T
        np.fill_diagonal(shared, -1)
        if len(shared) < 2:
            return []
        names = self.class_names
        return [
            (names[c], names[other], int(shared[c, other]))
            for c, other in enumerate(shared.argmax(1).tolist())
        ]


def overview(model: TokenModel) -> Overview:
    """Return the overview of a model, rows and columns ordered by average-linkage clustering."""
    weight = model.classifier.weight.detach().cpu().numpy()
    rows, columns = ordered(weight), ordered(weight.T)
    return Overview(
        title=str(model.record.get("name", "model")),
        weight=weight[np.ix_(rows, columns)],
        class_names=tuple(model.class_names[row] for row in rows),
        features=tuple(model.selected[column] for column in columns),
    )


def ordered(vectors: Float[np.ndarray, "n m"]) -> list[int]:
    """Return an order of vectors in which similar ones are neighbours."""
    if len(vectors) < 3:
        return list(range(len(vectors)))
    # Optimal order takes n^3: half a minute for 1000 classes.
    tree = linkage(vectors, "average", optimal_ordering=len(vectors) <= 300)
    order: list[int] = leaves_list(tree).tolist()
    return order


def overview_png(found: Overview) -> bytes:
    """Return the overview as a picture: the matrix, and above it how many classes use a feature."""
    classes, features = found.weight.shape
    named = classes <= NAMED_CLASSES
    rows = 0.19 if named else min(0.19, 14 / classes)
    size = (3.2 * named + 1.2 + 0.26 * features, 1.9 + rows * classes)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    top, matrix = figure.subplots(
        2, 1, sharex=True, height_ratios=(1, max(1.0, size[1] - 1.6)), squeeze=True
    )
    top.bar(range(features), found.users(), color="#555555")
    top.set_ylabel("classes\nthat use it", fontsize=8)
    top.set_title(f"{found.title}: which class uses which feature", loc="left", fontsize=10)
    largest = max(float(np.abs(found.weight).max()), 1e-12)
    matrix.imshow(
        found.weight, cmap="RdBu_r", vmin=-1.3 * largest, vmax=1.3 * largest, aspect="auto",
        interpolation="nearest",  # the ends of the map are nearly black
    )  # fmt: skip
    matrix.set_xticks(range(features), [str(number) for number in found.features], rotation=90)
    matrix.set_xlabel("feature (its number in the dense model)", fontsize=8)
    matrix.set_xticks(np.arange(features - 1) + 0.5, minor=True)
    matrix.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
    if named:
        matrix.grid(which="minor", color="white", linewidth=1)
    matrix.tick_params(which="minor", length=0)
    if named:
        matrix.set_yticks(range(classes), [plain(_short(name)) for name in found.class_names])
    else:
        matrix.set_ylabel(f"{classes} classes")
    for axes in (top, matrix):
        axes.tick_params(which="major", labelsize=7, length=2)
    return png(figure)


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"
