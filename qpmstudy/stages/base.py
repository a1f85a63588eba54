"""What goes into a stage and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from qpmstudy.adapters import read_shape
from qpmstudy.batches import LabelledTokens
from qpmstudy.classifier import Classifier
from qpmstudy.config import PipelineConfig
from qpmstudy.embeddings import Embeddings
from qpmstudy.training import EpochListener


@dataclass(frozen=True)
class StageOutput:
    """The result of a stage: arrays, and facts that JSON can hold."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, object] = field(default_factory=dict)

    def classifier(self) -> Classifier:
        """Rebuild the classifier that this stage stored, in evaluation mode on the CPU."""
        shape = self.facts["shape"]
        assert isinstance(shape, dict)
        return Classifier.from_tensors(self.tensors, read_shape(shape))


@dataclass(frozen=True)
class StageContext:
    """All that a stage may read besides its own section of the configuration."""

    config: PipelineConfig
    seed: int
    embeddings: Embeddings
    inputs: Mapping[str, StageOutput]
    on_epoch: EpochListener | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)
    """Selection solvers that may not be used here, each with the reason."""

    def part(self, name: str) -> LabelledTokens:
        """Return the "train" or "validation" images that the dense stage settled."""
        index = next(iter(self.inputs.values())).tensors[f"index.{name}"]
        return LabelledTokens(self.embeddings, index.numpy())


def device() -> torch.device:
    """Return the GPU that this process was given, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def generator(seed: int, purpose: int) -> torch.Generator:
    """Return a generator for one purpose, so that drawing more for one shifts no other."""
    return torch.Generator().manual_seed(seed * 1_000_003 + purpose)


@torch.inference_mode()
def feature_vectors(model: Classifier, data: LabelledTokens) -> Float[Tensor, "n F"]:
    """Return the feature vectors of a model in evaluation mode, on the CPU."""
    batches = data.batches(model.adapter.large_batch, device(), model.adapter.reads_cls)
    return torch.cat([model(tokens).feature_vector.cpu() for tokens, _ in batches])
