"""The one training loop, for the dense phase and for fine-tuning alike.

AdamWScheduleFree keeps two sets of weights: the gradient is taken at y (`optimizer.train()`),
the model that is used is the average x (`optimizer.eval()`). Batch-norm statistics gathered
while training belong to y, so they are estimated anew at x before anything is evaluated
(as the authors of schedule-free advise; "The Road Less Scheduled", arXiv 2405.15682).
SGD keeps one set of weights, to which running statistics belong as they are.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from schedulefree import AdamWScheduleFree
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import StepLR

from qpmstudy.adapter import Adapter
from qpmstudy.batches import Batch, Feed, LabelledTokens
from qpmstudy.classifier import Classifier, Output
from qpmstudy.errors import ConfigError, NonFiniteError
from qpmstudy.fused import Buffers
from qpmstudy.losses import diversity_loss, l1_feature_maps, l1_feature_vector
from qpmstudy.optimizers import SteppedSGD, stepped_sgd
from qpmstudy.recalibration import recalibrate_batch_norm

# Images that re-estimate batch norm for the accuracy curve; the final estimate uses all.
CURVE_IMAGES = 128

Record = dict[str, float]
EpochListener = Callable[[Record], None]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one phase. Total loss = CE + div L_div + l1_fm L1-FM + l1_fv L1-FV.

    Without `sgd` the optimiser is AdamWScheduleFree.
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    div: float
    l1_fm: float = 0.0
    l1_fv: float = 0.0
    sgd: SteppedSGD | None = None


def losses(output: Output, weight: Tensor, labels: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    """Return the total loss under "loss" and each of its parts (DINO-QPM Eq. 8-10).

    A part of weight 0 is left out of the sum and reported without a gradient.
    """
    maps, vector, logits = output
    parts: dict[str, tuple[float, Callable[[], Tensor]]] = {
        "cross_entropy": (1.0, lambda: functional.cross_entropy(logits, labels)),
        "diversity": (recipe.div, lambda: diversity_loss(maps, vector, weight, logits)),
        "l1_fm": (recipe.l1_fm, lambda: l1_feature_maps(maps)),
        "l1_fv": (recipe.l1_fv, lambda: l1_feature_vector(vector)),
    }
    values: dict[str, Tensor] = {}
    total = torch.zeros((), device=logits.device, dtype=logits.dtype)
    for name, (share, part) in parts.items():
        with torch.set_grad_enabled(share > 0 and torch.is_grad_enabled()):
            values[name] = part()
        if share > 0:
            total = total + share * values[name]
    return {"loss": total, **values}


def train(
    model: Classifier,
    data: LabelledTokens,
    recipe: Recipe,
    seed: int,
    validation: LabelledTokens | None = None,
    on_epoch: EpochListener | None = None,
) -> list[Record]:
    """Train `model` in place and leave it in evaluation mode at the averaged weights.

    Args:
        model: on the device to train on.
        data: training images; shuffled every epoch from `seed`, and changed at random where the
            adapter is trained on such.
        recipe: hyperparameters of the phase.
        seed: decides the order of the batches and what is random about them.
        validation: images for the accuracy curve; none are touched otherwise.
        on_epoch: called with the record of each epoch as it ends.

    Returns:
        One record an epoch: losses one by one (means over the epoch's images), "train_accuracy"
        (of the training iterates), "validation_accuracy" (of the averaged weights), "lr",
        "seconds" that training took, and "time" (seconds since 1970).

    Raises:
        NonFiniteError: the loss of an epoch, or a weight after the last, is NaN or infinite.
    """
    device = next(model.parameters()).device
    cls = model.adapter.reads_cls
    feed = Feed(data.embeddings, data.index, device, cls)
    watched = Feed(data.embeddings, validation.index, device, cls) if validation else None
    loop = Loop(model, recipe)
    rng, noise = (np.random.default_rng([seed, purpose]) for purpose in (0x7EA1, 0xA06))
    history = []
    with _gpu_arithmetic(device):
        for epoch in range(1, recipe.epochs + 1):
            start = time.perf_counter()
            batches = feed.batches(recipe.batch, feed.shuffled(rng))
            record = loop.epoch(
                (model.adapter.augmented(tokens, noise), labels) for tokens, labels in batches
            )
            seconds = time.perf_counter() - start
            _check_loss(record["loss"], epoch, recipe)
            if watched:
                loop.average(feed, limit=CURVE_IMAGES)
                record["validation_accuracy"] = _accuracy(model, watched)
            record |= {
                "epoch": epoch,
                "lr": loop.rate(),
                "seconds": seconds,
                "time": time.time(),
            }
            history.append(record)
            if on_epoch:
                on_epoch(record)
            if loop.schedule:
                loop.schedule.step()
        loop.average(feed, limit=len(feed))
    _check_weights(model, recipe)
    return history


class Loop:
    """One model under training: its optimiser and the memory that its steps share.

    `epoch` leaves the model at y and in training mode, `average` at x and ready for use; for SGD,
    which has a `schedule`, x is y.
    """

    optimizer: Any
    schedule: StepLR | None

    def __init__(self, model: Classifier, recipe: Recipe) -> None:
        """Raises ConfigError for a network whose batch norm nothing can estimate anew."""
        self.model, self.recipe = model, recipe
        if recipe.sgd:
            self.optimizer, self.schedule = stepped_sgd(
                recipe.sgd, model, recipe.lr, recipe.weight_decay, recipe.epochs
            )
        else:
            if not isinstance(model.adapter, Adapter):
                raise ConfigError(
                    f"The schedule-free optimiser trains the adapter mlp alone, not "
                    f"{model.adapter.shape.kind}: set dense.optimizer and finetune.optimizer: sgd."
                )
            self.schedule = None
            self.optimizer = AdamWScheduleFree(
                model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
            )
        self._device = next(model.parameters()).device
        # A GPU's own batch norm is as fast as memory allows, and its allocator keeps memory.
        self._buffers = Buffers() if self._device.type == "cpu" else None

    def epoch(self, batches: Iterable[Batch]) -> Record:
        """Take a step for each batch; return the means of all losses over the images."""
        self.model.train()
        if not self.schedule:
            self.optimizer.train()
        sums: dict[str, Tensor] = {}
        images = 0
        for tokens, labels in batches:
            maps, vector = self.model.adapter(tokens, self._buffers)
            output = Output(maps, vector, self.model.head(vector))
            parts = losses(output, self.model.weight, labels, self.recipe)
            self.optimizer.zero_grad(set_to_none=True)
            parts["loss"].backward()
            self.optimizer.step()
            parts["train_accuracy"] = (output.logits.argmax(1) == labels).float().mean()
            # summed on the device: reading a value back every step would stall a GPU
            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + value.detach() * len(labels)
            images += len(labels)
        return {name: float(value) / images for name, value in sums.items()}

    def average(self, feed: Feed, limit: int) -> None:
        """Go to the averaged weights, with batch norm estimated there on up to `limit` images."""
        adapter = self.model.adapter
        if not self.schedule:
            assert isinstance(adapter, Adapter)
            self.optimizer.eval()
            # Statistics of later layers come closer to exact the larger the batches are.
            batches = feed.batches(adapter.large_batch, _spread(len(feed), limit))
            recalibrate_batch_norm(adapter, (tokens for tokens, _ in batches), self._buffers)
        self.model.eval()

    def rate(self) -> float:
        """Return the adapter's learning rate in the last step."""
        return float(self.optimizer.param_groups[0]["lr" if self.schedule else "scheduled_lr"])


@contextmanager
def _gpu_arithmetic(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply in TF32: sums in float32, of factors rounded to 10 bits.

    Of convolutions it takes those that give the same numbers every time.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.deterministic
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.deterministic = before[1]


def _check_loss(loss: float, epoch: int, recipe: Recipe) -> None:
    if not np.isfinite(loss):
        raise NonFiniteError(
            f"The loss became {loss} in epoch {epoch} of {recipe.epochs}. {_hint(recipe)}"
        )


def _check_weights(model: Classifier, recipe: Recipe) -> None:
    """Refuse what the very last step broke, whose loss nobody computes."""
    broken = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise NonFiniteError(
            f"{broken[0]} holds NaN or infinity after epoch {recipe.epochs} of {recipe.epochs}. "
            + _hint(recipe)
        )


def _hint(recipe: Recipe) -> str:
    return (
        f"Lower the learning rate or the loss weights (lr {recipe.lr:g}, div {recipe.div:g}, "
        f"l1_fm {recipe.l1_fm:g}, l1_fv {recipe.l1_fv:g})."
    )


def _spread(count: int, limit: int) -> Int64[np.ndarray, " m"]:
    """Return at most `limit` of `count` positions, evenly spaced: stores are sorted by class."""
    if count <= limit:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).astype(np.int64)


@torch.inference_mode()
def _accuracy(model: Classifier, feed: Feed) -> float:
    hits = torch.zeros((), dtype=torch.int64, device=model.weight.device)
    for tokens, labels in feed.batches(model.adapter.large_batch):
        hits += (model(tokens).logits.argmax(1) == labels).sum()
    return int(hits) / len(feed)
