"""The selection by itself: from a file of features and labels to a layer and its certificate."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int, Shaped

from qpmstudy.config import SelectConfig
from qpmstudy.errors import DataError
from qpmstudy.files import write_bytes
from qpmstudy.metrics import dead_features
from qpmstudy.selection import SOLVERS
from qpmstudy.selection.base import Progress, Selection
from qpmstudy.selection.methods import METHODS, Means, Selected
from qpmstudy.selection.sldd import SparseLayer


@dataclass(frozen=True)
class Features:
    """Feature vectors of a training set: N images, F features, labels 0..C-1."""

    values: Float64[np.ndarray, "N F"]
    labels: Int[np.ndarray, " N"]
    bias: Float64[np.ndarray, " F"] | None = None
    """b of QPM's objective: what selecting a feature is worth by itself."""

    @property
    def dead(self) -> int:
        """Return how many features are constant, which no class can use."""
        return dead_features(self.values)


def read_features(path: Path) -> Features:
    """Read an .npz file with the arrays `features` (N, F), `labels` (N,) and, if any, `bias` (F,).

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
    bias = arrays.get("bias")
    if bias is not None and bias.shape != values.shape[1:]:
        raise DataError(
            f"{path}: bias {bias.shape} must have one value for each of the {values.shape[1]} "
            f"features."
        )
    return Features(
        values.astype(np.float64),
        labels.astype(np.int64),
        None if bias is None else bias.astype(np.float64),
    )


def select_layer(
    data: Features,
    config: SelectConfig,
    seed: int = 0,
    threads: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> Selected:
    """Return the sparse layer of a method, and the certificate where the method has one.

    The bias of `data` enters "qpm" if there is one; `config.bias`, which needs a model, is not
    read. `on_progress` hears of every better answer and every lower bound.

    Raises:
        ConfigError: the method or solver is unknown, or a size or limit is not allowed.
        DataError: features are not finite, or a class has no image.
        SolverError: there is no solution of these sizes, or the solver cannot give one.
    """
    method = METHODS.get(config.method)
    SOLVERS.get(config.solver)
    means = Means(seed, threads, data.bias, on_progress)
    return method.select(data.values, data.labels, config, means)


def progress_text(step: Progress) -> str:
    """Return where a solve stands, in a line of fixed width."""
    gap = f"{step.gap:8.3%}" if math.isfinite(step.gap) else "       -"
    return (
        f"{step.seconds:7.1f} s  objective {step.objective:<12.6g} bound {step.bound:<12.6g} "
        f"gap {gap}"
    )


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
        if certificate.fallback:
            lines.insert(1, f"not by the solver asked for first: {certificate.fallback}")
    return lines


def _accuracy(data: Features, layer: SparseLayer) -> float:
    chosen: Float[np.ndarray, "N S"] = data.values[:, layer.selected]
    spread = np.maximum(chosen.std(axis=0), 1e-6)
    logits: Shaped[np.ndarray, "N C"] = (
        (chosen - chosen.mean(axis=0)) / spread
    ) @ layer.weight.T + layer.bias
    return float((logits.argmax(axis=1) == data.labels).mean())
