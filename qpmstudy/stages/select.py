"""Selection: which N* features, and with which weight each class uses which of them."""

import math
import time

import numpy as np
import torch
from jaxtyping import Float64

from qpmstudy.columns import CERTIFICATE
from qpmstudy.measuring import BATCH
from qpmstudy.metrics import dead_features
from qpmstudy.selection.base import Progress, Selection
from qpmstudy.selection.locality import locality_bias
from qpmstudy.selection.methods import METHODS, Means
from qpmstudy.stages.base import StageContext, StageOutput, device
from qpmstudy.training import EpochListener, Record

# Steps are reported at most this often: together they leave less than 200.
SOONEST, GROWTH, SHARE_OF_LIMIT = 1e-3, 0.15, 0.01


def select(context: StageContext) -> StageOutput:
    """Select by the configured method on the dense model's training features.

    Returns:
        Tensors: "selected" (N*,) feature indices, ascending; "weight" (C, N*) and "bias" (C,) of
        the sparse layer, float32; the bias is zero for "qpm".
        Facts: "method"; "dead_features", how many of the dense model's are constant; the
        certificate ("objective", "bound", "gap", "status", "solver", "seconds", "fallback"), None
        each where the method has none; "history", the solver's progress, a record a step.
    """
    config = context.config.select
    dense = context.inputs["dense"].tensors
    features = dense["features"].numpy()
    progress = ProgressLog(config.time_limit, context.on_epoch)
    means = Means(
        seed=context.seed,
        threads=torch.get_num_threads(),
        bias=_locality_bias(context) if config.bias == "locality" else None,
        on_progress=progress.note,
        withheld=context.withheld,
    )
    layer, certificate = METHODS.get(config.method).select(
        features, dense["labels"].numpy(), config, means
    )
    return StageOutput(
        tensors={
            "selected": torch.as_tensor(layer.selected, dtype=torch.int64),
            "weight": torch.as_tensor(layer.weight, dtype=torch.float32),
            "bias": torch.as_tensor(layer.bias, dtype=torch.float32),
        },
        facts={
            "method": config.method,
            "dead_features": dead_features(features),
            **certificate_facts(certificate),
            "history": progress.finish(),
        },
    )


class ProgressLog:
    """Thins a solver's steps out to less than 200, as they come, and passes them on.

    The first and the last are kept; between them at least 15 % of the time so far has passed, or
    1 % of the time limit where that is less: fine at first, when most happens, then even.
    """

    def __init__(self, time_limit: float, listener: EpochListener | None) -> None:
        self._longest = SHARE_OF_LIMIT * time_limit
        self._listener = listener
        self._records: list[Record] = []
        self._due = 0.0
        self._waiting: tuple[Progress, float] | None = None

    def note(self, step: Progress) -> None:
        """Report a step, or keep it until it is known whether it is the last."""
        self._waiting = (step, time.time())
        if step.seconds >= self._due:
            self._report()
            self._due = step.seconds + max(SOONEST, min(GROWTH * step.seconds, self._longest))

    def finish(self) -> list[Record]:
        """Report the last step, if it still waits, and return all records."""
        self._report()
        return self._records

    def _report(self) -> None:
        if self._waiting is None:
            return
        step, now = self._waiting
        self._waiting = None
        values = {"objective": step.objective, "bound": step.bound, "gap": step.gap}
        record: Record = {
            "epoch": len(self._records) + 1,
            "time": now,
            "elapsed": step.seconds,
            **{name: float(value) for name, value in values.items() if math.isfinite(value)},
        }
        self._records.append(record)
        if self._listener:
            self._listener(record)


def certificate_facts(certificate: Selection | None) -> dict[str, object]:
    """Return the certificate as facts that JSON can hold, None each without one."""
    if certificate is None:
        return dict.fromkeys(CERTIFICATE)
    return {
        "objective": float(certificate.objective),
        "bound": _finite(certificate.bound),
        "gap": _finite(certificate.gap),
        "status": certificate.status.value,
        "solver": certificate.solver,
        "seconds": float(certificate.seconds),
        "fallback": certificate.fallback,
    }


def _finite(value: float) -> float | None:
    """Return None for what no solver has bounded: JSON has no infinity."""
    return float(value) if math.isfinite(value) else None


@torch.inference_mode()
def _locality_bias(context: StageContext) -> Float64[np.ndarray, " F"]:
    model = context.inputs["dense"].classifier().to(device())
    size = min(BATCH, model.adapter.large_batch)
    batches = context.part("train").batches(size, device(), model.adapter.reads_cls)
    outputs = (model(tokens) for tokens, _ in batches)
    maps_and_vectors = ((output.feature_maps, output.feature_vector) for output in outputs)
    return locality_bias(maps_and_vectors, context.embeddings.grid)
