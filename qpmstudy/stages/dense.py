"""Dense phase: adapter and linear head, trained together on the training part."""

from dataclasses import asdict, replace

import numpy as np
import torch

from qpmstudy.adapter import Adapter, AdapterShape
from qpmstudy.classifier import Classifier
from qpmstudy.config import AdapterConfig
from qpmstudy.embeddings import stratified_split
from qpmstudy.heads import DenseHead
from qpmstudy.stages.base import (
    StageContext,
    StageOutput,
    device,
    feature_vectors,
    generator,
    shape_facts,
)
from qpmstudy.training import LabelledTokens, Recipe, train


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
    shape = adapter_shape(config.adapter, embeddings.dim)
    weights = generator(context.seed, purpose=1)
    model = Classifier(
        Adapter(**asdict(shape), generator=weights),
        DenseHead(
            shape.features,
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
        facts={"shape": shape_facts(shape), "history": history},
    )


def adapter_shape(config: AdapterConfig, dim: int) -> AdapterShape:
    """Return the shape of the adapter configured, on tokens of `dim` channels."""
    shape = AdapterShape(in_dim=dim, **asdict(config))
    return shape if shape.depth else replace(shape, features=shape.token_dim)
