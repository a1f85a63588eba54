"""Running stages: one of them with its inputs, or all, one after another."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from qpmstudy.config import PipelineConfig
from qpmstudy.embeddings import Embeddings
from qpmstudy.stage_graph import STAGES, stages_of
from qpmstudy.stages import StageContext, StageOutput, dense, evaluate, finetune, select
from qpmstudy.streaming import StreamedChunks
from qpmstudy.training import EpochListener

FUNCTIONS: Mapping[str, Callable[[StageContext], StageOutput]] = {
    "dense": dense,
    "evaluate_dense": evaluate,
    "select": select,
    "finetune": finetune,
    "evaluate": evaluate,
}
"""What each stage of the graph does."""


def run_stage(
    name: str,
    config: PipelineConfig,
    embeddings: Embeddings,
    inputs: Mapping[str, StageOutput],
    seed: int,
    on_epoch: EpochListener | None = None,
    withheld: Mapping[str, str] | None = None,
) -> StageOutput:
    """Run one stage. `inputs` holds the outputs of the stages named in its `inputs`.

    `withheld` names selection solvers that may not be used here, each with the reason.
    """
    wanted = {needed: inputs[needed] for needed in STAGES[name].inputs}
    context = StageContext(config, seed, embeddings, wanted, on_epoch, withheld or {})
    output = FUNCTIONS[name](context)
    if not isinstance(embeddings.patches, StreamedChunks):
        return output
    return replace(output, facts={**output.facts, "window": embeddings.patches.window})


def run_pipeline(
    config: PipelineConfig, embeddings: Embeddings, seed: int
) -> dict[str, StageOutput]:
    """Run every stage here, one after another, and return their outputs by name."""
    outputs: dict[str, StageOutput] = {}
    for name in stages_of(config):
        outputs[name] = run_stage(name, config, embeddings, outputs, seed)
    return outputs
