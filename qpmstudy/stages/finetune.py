"""Fine-tuning: the adapter trained on under the fixed sparse binary head."""

from dataclasses import replace

from qpmstudy.classifier import AdapterShape, Classifier
from qpmstudy.heads import SparseHead
from qpmstudy.stages.base import StageContext, StageOutput, device, shape_facts
from qpmstudy.training import Recipe, train


def finetune(context: StageContext) -> StageOutput:
    """Cut the adapter down to the selected features and train it under the binary head.

    The head standardises features by the dense model's training mean and deviation,
    which stay fixed (as the reference does; its published results were made so).

    Returns:
        Tensors: the classifier, "index.train", "index.validation", and "selected" (N*,), the
        numbers its features had in the dense model.
        Facts: "shape" of the adapter and "history", a record an epoch.
    """
    config = context.config.finetune
    before, selection = context.inputs["dense"], context.inputs["select"]
    selected = selection.tensors["selected"]
    features = before.tensors["features"][:, selected]
    trained = before.classifier()
    model = Classifier(
        trained.adapter.select(selected),
        SparseHead(
            selection.tensors["assignment"], features.mean(0), features.std(0, correction=0)
        ),
    ).to(device())
    recipe = Recipe(
        epochs=config.epochs,
        batch=config.batch,
        lr=config.lr,
        weight_decay=config.weight_decay,
        div=config.div,
        l1_fm=config.l1_fm,
        l1_fv=config.l1_fv,
    )
    history = train(
        model,
        context.part("train"),
        recipe,
        context.seed,
        context.part("validation"),
        context.on_epoch,
    )
    dense_shape = before.facts["shape"]
    assert isinstance(dense_shape, dict)
    shape = replace(AdapterShape(**dense_shape), features=len(selected))
    return StageOutput(
        tensors={
            **model.tensors(),
            "index.train": before.tensors["index.train"],
            "index.validation": before.tensors["index.validation"],
            "selected": selected,
        },
        facts={"shape": shape_facts(shape), "history": history},
    )
