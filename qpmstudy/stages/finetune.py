"""Fine-tuning: the adapter trained on under a fixed sparse head."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from qpmstudy.classifier import Classifier
from qpmstudy.config import FinetuneConfig
from qpmstudy.heads import FeatureDropout, SparseHead
from qpmstudy.optimizers import FINETUNE_SGD
from qpmstudy.selection.methods import METHODS, Method
from qpmstudy.stages.base import (
    StageContext,
    StageOutput,
    device,
    feature_vectors,
    generator,
)
from qpmstudy.training import Recipe, Record, train

# Of the learning rate from round to round, as published with Q-SENN.
DECAY = 0.9


def finetune(context: StageContext) -> StageOutput:
    """Cut the adapter down to the selected features and train it under the sparse head.

    The head standardises features by the mean and deviation of the training features its weights
    were made from, which stay fixed (for QPM as the reference does; its published results were
    made so). With `standardise` off it is the W f of the paper's text. Q-SENN has four rounds:
    before each further one, the relations of features and classes are decided anew from the
    features as they are by then.

    Returns:
        Tensors: the classifier, "index.train", "index.validation", and "selected" (N*,), the
        numbers its features had in the dense model.
        Facts: "shape" of the adapter and "history", a record an epoch, over all rounds.
    """
    before, selection = context.inputs["dense"], context.inputs["select"]
    method = METHODS.get(context.config.select.method)
    training, validation = context.part("train"), context.part("validation")
    labels = before.tensors["labels"].numpy()
    selected = selection.tensors["selected"]
    history: list[Record] = []

    def on_epoch(record: Record) -> None:  # counts epochs over all rounds
        history.append(record | {"epoch": len(history) + 1})
        if context.on_epoch:
            context.on_epoch(history[-1])

    adapter = before.classifier().adapter.select(selected)
    features = before.tensors["features"][:, selected]
    weight, bias = selection.tensors["weight"], selection.tensors["bias"]
    dropout = FeatureDropout(method.dropout, generator(context.seed, purpose=2))
    standardise = context.config.finetune.standardise
    model = Classifier(adapter, _head(features, weight, bias, dropout, standardise)).to(device())
    for number, recipe in enumerate(recipes(context.config.finetune, method)):
        if number and method.renew:
            features = feature_vectors(model, training)
            layer = method.renew(features.numpy(), labels, context.config.select.per_class)
            weight, bias = (torch.from_numpy(part) for part in (layer.weight, layer.bias))
            head = _head(features, weight, bias, dropout, standardise).to(device())
            model = Classifier(model.adapter, head)
        train(model, training, recipe, context.seed, validation, on_epoch)
    return StageOutput(
        tensors={
            **model.tensors(),
            "index.train": before.tensors["index.train"],
            "index.validation": before.tensors["index.validation"],
            "selected": selected,
        },
        facts={
            "shape": model.adapter.shape.facts(),
            "history": history,
        },
    )


def recipes(config: FinetuneConfig, method: Method) -> list[Recipe]:
    """Return the recipe of each round.

    The last has the configured epochs, those before it no more than `early_epochs`; the learning
    rate is the configured one in the first and falls by a tenth from round to round.
    """
    last = Recipe(
        epochs=config.epochs,
        batch=config.batch,
        lr=config.lr,
        weight_decay=config.weight_decay,
        div=config.div,
        l1_fm=config.l1_fm,
        l1_fv=config.l1_fv,
        sgd=FINETUNE_SGD if config.optimizer == "sgd" else None,
    )
    early = replace(last, epochs=min(config.early_epochs, config.epochs))
    rounds = [*[early] * (method.rounds - 1), last]
    return [replace(recipe, lr=config.lr * DECAY**number) for number, recipe in enumerate(rounds)]


def _head(
    features: Float[Tensor, "n S"],
    weight: Float[Tensor, "C S"],
    bias: Float[Tensor, " C"],
    dropout: FeatureDropout,
    standardise: bool,
) -> SparseHead:
    """Return the layer on `features`, which it was made from; a bias of zeros is none."""
    mean, std = features.mean(0), features.std(0, correction=0)
    if not standardise:
        mean, std = torch.zeros_like(mean), torch.ones_like(std)
    return SparseHead(weight, mean, std, bias if bias.any() else None, dropout)
