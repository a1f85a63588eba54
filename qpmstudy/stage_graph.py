"""The stage graph: which stage reads what, and under which key its result is kept.

    dense -> select -> finetune -> evaluate
      +----------------> evaluate_dense

A configuration that selects nothing (`select.method: none`) ends at evaluate_dense.

The key of a stage is a hash of its name and version, its own sections of the configuration,
the seed, and the keys of its inputs; the store of embeddings enters by its content fingerprint.
Configurations that agree up to a stage therefore share that stage's result.

Where a result was computed is not in its key: neither the device, whose roundings it has, nor
whether memory held the store. Streamed from a disk, batches come in another random order, as from
another seed; the facts of such a result say how large the window was that they were drawn from.

How stages are run is in `pipeline`: who only plans or looks need not import torch.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass

from qpmstudy.config import PipelineConfig


@dataclass(frozen=True)
class Stage:
    """A node of the graph. Raise `version` whenever the same inputs give another result."""

    name: str
    version: int
    sections: tuple[str, ...]  # of PipelineConfig; nothing else may be read
    inputs: tuple[str, ...]  # stages whose output it reads


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("dense", 2, ("split", "adapter", "dense"), ()),
        Stage("evaluate_dense", 3, ("evaluate",), ("dense",)),
        Stage("select", 2, ("select",), ("dense",)),
        Stage("finetune", 3, ("select", "finetune"), ("dense", "select")),
        Stage("evaluate", 3, ("evaluate",), ("finetune",)),
    )
}
"""In an order in which each stage comes after its inputs."""

DENSE_ONLY = ("dense", "evaluate_dense")


def stages_of(config: PipelineConfig) -> tuple[str, ...]:
    """Return the stages that a configuration runs, each after its inputs."""
    return DENSE_ONLY if config.select.method == "none" else tuple(STAGES)


def last_stage(stages: Collection[str]) -> str:
    """Return which of a configuration's stages measures its final model."""
    return "evaluate" if "evaluate" in stages else "evaluate_dense"


def stage_keys(config: PipelineConfig, fingerprint: str, seed: int) -> dict[str, str]:
    """Return the key (64 hex digits) of every stage that a configuration runs, in their order.

    Args:
        config: the configuration; its "embeddings" section enters as `fingerprint` alone,
            so a store that is renamed or moved keeps its results.
        fingerprint: content hash of the store of embeddings.
        seed: the replicate.
    """
    sections = asdict(config)
    keys: dict[str, str] = {}
    for stage in (STAGES[name] for name in stages_of(config)):
        content = {
            "stage": stage.name,
            "version": stage.version,
            "config": {name: sections[name] for name in stage.sections},
            "seed": seed,
            "embeddings": fingerprint,
            "inputs": {name: keys[name] for name in stage.inputs},
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        keys[stage.name] = hashlib.sha256(canonical.encode()).hexdigest()
    return keys
