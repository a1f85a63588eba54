"""The one training loop, for the dense phase and for fine-tuning alike.

AdamWScheduleFree keeps two sets of weights: the gradient is taken at y (`optimizer.train()`),
the model that is used is the average x (`optimizer.eval()`). Batch-norm statistics gathered
while training belong to y, so they are estimated anew at x before anything is evaluated
(as the authors of schedule-free advise; "The Road Less Scheduled", arXiv 2405.15682).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from schedulefree import AdamWScheduleFree
from torch import Tensor
from torch.nn import functional

from qpmstudy.batches import Batch, Feed
from qpmstudy.classifier import Classifier, Output
from qpmstudy.embeddings import Embeddings
from qpmstudy.errors import NonFiniteError
from qpmstudy.fused import Buffers
from qpmstudy.losses import diversity_loss, l1_feature_maps, l1_feature_vector
from qpmstudy.recalibration import recalibrate_batch_norm

# Images that re-estimate batch norm for the accuracy curve; the final estimate uses all.
CURVE_IMAGES = 128
# Batches without gradients; statistics of later layers come closer to exact the larger they are.
LARGE_BATCH = 256

Record = dict[str, float]
EpochListener = Callable[[Record], None]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one phase. Total loss = CE + div L_div + l1_fm L1-FM + l1_fv L1-FV."""

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    div: float
    l1_fm: float = 0.0
    l1_fv: float = 0.0


@dataclass(frozen=True)
class LabelledTokens:
    """The images of one part of a split: where their tokens are and what they show."""

    embeddings: Embeddings
    index: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.index)

    def batch(
        self, positions: Int64[np.ndarray, " b"], device: torch.device, cls: bool = False
    ) -> Batch:
        """Return tokens (b, T, D) float32 and labels (b,) of the images at `positions`.

        With `cls` each image's CLS token follows its patches: T = P + 1.
        """
        chosen = self.index[positions]
        tokens = self.embeddings.tokens(chosen, cls=cls).to(device).float()
        return tokens, torch.from_numpy(self.embeddings.labels[chosen]).to(device)

    def batches(self, size: int, device: torch.device, cls: bool = False) -> Iterator[Batch]:
        """Iterate over all images in order, in batches of at most `size`."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))), device, cls)


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
        data: training images; shuffled every epoch from `seed`.
        recipe: hyperparameters of the phase.
        seed: decides the order of the batches.
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
    rng = np.random.default_rng([seed, 0x7EA1])
    history = []
    with _tensor_cores(device):
        for epoch in range(1, recipe.epochs + 1):
            start = time.perf_counter()
            record = loop.epoch(feed.batches(recipe.batch, rng.permutation(len(feed))))
            seconds = time.perf_counter() - start
            if not np.isfinite(record["loss"]):
                raise NonFiniteError(
                    f"The loss became {record['loss']} in epoch {epoch} of {recipe.epochs}. "
                    + _hint(recipe)
                )
            if watched:
                loop.average(feed, limit=CURVE_IMAGES)
                record["validation_accuracy"] = _accuracy(model, watched)
            record |= {
                "epoch": epoch,
                "lr": float(loop.optimizer.param_groups[0]["scheduled_lr"]),
                "seconds": seconds,
                "time": time.time(),
            }
            history.append(record)
            if on_epoch:
                on_epoch(record)
        loop.average(feed, limit=len(feed))
    broken = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    if broken:  # by the very last step, whose loss nobody computes
        raise NonFiniteError(
            f"{broken[0]} holds NaN or infinity after epoch {recipe.epochs} of {recipe.epochs}. "
            + _hint(recipe)
        )
    return history


class Loop:
    """One model under training: its optimiser and the memory that its steps share.

    `epoch` leaves the model at y and in training mode, `average` at x and ready for use.
    """

    def __init__(self, model: Classifier, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.optimizer = AdamWScheduleFree(
            model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self._device = next(model.parameters()).device
        # A GPU's own batch norm is as fast as memory allows, and its allocator keeps memory.
        self._buffers = Buffers() if self._device.type == "cpu" else None

    def epoch(self, batches: Iterable[Batch]) -> Record:
        """Take a step for each batch; return the means of all losses over the images."""
        self.model.train()
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
        self.optimizer.eval()
        batches = feed.batches(LARGE_BATCH, _spread(len(feed), limit))
        adapter = self.model.adapter
        recalibrate_batch_norm(adapter, (tokens for tokens, _ in batches), self._buffers)
        self.model.eval()


@contextmanager
def _tensor_cores(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply in TF32: sums in float32, of factors rounded to 10 bits."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
    for tokens, labels in feed.batches(LARGE_BATCH):
        hits += (model(tokens).logits.argmax(1) == labels).sum()
    return int(hits) / len(feed)
