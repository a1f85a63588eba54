"""Dense phase: adapter and linear head, trained together on the training part."""

import numpy as np
import torch

from qpmstudy.adapters import ADAPTERS
from qpmstudy.batches import LabelledTokens
from qpmstudy.classifier import Classifier
from qpmstudy.embeddings import stratified_split
from qpmstudy.heads import DenseHead
from qpmstudy.optimizers import DENSE_SGD
from qpmstudy.stages.base import (
    StageContext,
    StageOutput,
    device,
    feature_vectors,
    generator,
)
from qpmstudy.training import Recipe, train


def dense(context: StageContext) -> StageOutput:
    """Split, train, and keep what selection and fine-tuning read.

    Returns:
        Tensors: the classifier; "index.train" and "index.validation" (positions in the store);
        "features" (n, N_f), the training part's feature vectors in evaluation mode, with
        "labels" (n,). Facts: "shape" of the adapter and "history", a record an epoch.
    """
    config, embeddings = context.config, context.embeddings
    pool = embeddings.indices("train")
    first, second = stratified_split(embeddings.labels[pool], config.split.validation, context.seed)
    training = LabelledTokens(embeddings, pool[first])
    validation = LabelledTokens(embeddings, pool[second])
    weights = generator(context.seed, purpose=1)
    adapter = ADAPTERS.get(config.adapter.kind).configured(config.adapter, embeddings, weights)
    model = Classifier(
        adapter,
        DenseHead(
            adapter.features,
            len(embeddings.class_names),
            dropout=config.dense.dropout,
            generator=weights,
        ),
    ).to(device())
    recipe = Recipe(
        epochs=config.dense.epochs,
        batch=config.dense.batch,
        lr=config.dense.lr,
        weight_decay=config.dense.weight_decay,
        div=config.dense.div,
        sgd=DENSE_SGD if config.dense.optimizer == "sgd" else None,
    )
    history = train(model, training, recipe, context.seed, validation, context.on_epoch)
    return StageOutput(
        tensors={
            **model.tensors(),
            "index.train": torch.from_numpy(training.index),
            "index.validation": torch.from_numpy(validation.index),
            "features": feature_vectors(model, training),
            "labels": torch.from_numpy(np.ascontiguousarray(embeddings.labels[training.index])),
        },
        facts={"shape": adapter.shape.facts(), "history": history},
    )
