"""The selection by itself: from a file of features and labels to a layer and its certificate."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float, Float64, Int, Shaped

from qpmstudy.config import MethodName, SelectConfig, SolverName
from qpmstudy.errors import DataError
from qpmstudy.files import write_bytes
from qpmstudy.metrics import dead_features
from qpmstudy.selection import SOLVERS
from qpmstudy.selection.base import Selection
from qpmstudy.selection.methods import METHODS, Means, Selected
from qpmstudy.selection.sldd import SparseLayer


@dataclass(frozen=True)
class Features:
    """Feature vectors of a training set: N images, F features, labels 0..C-1."""

    values: Float64[np.ndarray, "N F"]
    labels: Int[np.ndarray, " N"]

    @property
    def dead(self) -> int:
        """Return how many features are constant, which no class can use."""
        return dead_features(self.values)


def read_features(path: Path) -> Features:
    """Read an .npz file with the arrays `features` (N, F) and `labels` (N,).

    Raises:
        DataError: the file is missing or damaged, or its arrays are not these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as an .npz file: {error}.") from error
    missing = {"features", "labels"} - set(arrays)
    if missing:
        raise DataError(
            f"{path} lacks {sorted(missing)}: it needs `features` (images x features) and "
            f"`labels` (images); it has {sorted(arrays)}."
        )
    values, labels = arrays["features"], arrays["labels"]
    if values.ndim != 2 or labels.shape != values.shape[:1]:
        raise DataError(
            f"{path}: features {values.shape} must be images x features, and labels "
            f"{labels.shape} one for each image."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: labels must be whole numbers, not {labels.dtype}.")
    return Features(values.astype(np.float64), labels.astype(np.int64))


def select_layer(
    data: Features,
    method: str,
    n_features: int,
    per_class: int,
    solver: str = "auto",
    gap: float = 5e-3,
    time_limit: float = 60.0,
    seed: int = 0,
) -> Selected:
    """Return the sparse layer of a method, and the certificate where the method has one.

    `solver`, `gap`, `time_limit` (seconds) and `seed` are for "qpm" alone.

    Raises:
        ConfigError: the method or solver is unknown, or a size or limit is not allowed.
        DataError: features are not finite, or a class has no image.
        SolverError: there is no solution of these sizes.
    """
    chosen = METHODS.get(method)
    SOLVERS.get(solver)
    config = SelectConfig(
        method=cast(MethodName, method),
        features=n_features,
        per_class=per_class,
        solver=cast(SolverName, solver),
        gap=gap,
        time_limit=time_limit,
    )
    return chosen.select(data.values, data.labels, config, Means(seed))


def save_layer(layer: SparseLayer, path: Path) -> None:
    """Write `selected`, `weight` and `bias` as an .npz file, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, selected=layer.selected, weight=layer.weight, bias=layer.bias)
    write_bytes(path, content.getvalue())


def describe(data: Features, layer: SparseLayer, certificate: Selection | None) -> list[str]:
    """Return what was selected, how sparse it is, and how good it is proven to be."""
    weights = (layer.weight != 0).sum(axis=1)
    lines = [
        f"{len(layer.selected)} of {data.values.shape[1]} features ({data.dead} dead), "
        f"{weights.mean():.2f} a class on average ({weights.min()} to {weights.max()})",
        f"features: {' '.join(map(str, layer.selected.tolist()))}",
        f"training accuracy of the layer: {_accuracy(data, layer):.1%}",
    ]
    if certificate is not None:
        lines.insert(
            0,
            f"{certificate.solver}: {certificate.status.value}, objective "
            f"{certificate.objective:.6g}, bound {certificate.bound:.6g}, gap "
            f"{certificate.gap:.3%}, {certificate.seconds:.1f} s",
        )
    return lines


def _accuracy(data: Features, layer: SparseLayer) -> float:
    chosen: Float[np.ndarray, "N S"] = data.values[:, layer.selected]
    spread = np.maximum(chosen.std(axis=0), 1e-6)
    logits: Shaped[np.ndarray, "N C"] = (
        (chosen - chosen.mean(axis=0)) / spread
    ) @ layer.weight.T + layer.bias
    return float((logits.argmax(axis=1) == data.labels).mean())
