"""A classifier on frozen tokens: adapter, then a dense or a sparse head.

Symbols: B images, T tokens of each, P patches, D channels, N_f features, C classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qpmstudy.adapters import BaseAdapter, Shape
from qpmstudy.errors import DataError
from qpmstudy.heads import DenseHead, SparseHead


class Output(NamedTuple):
    """What a classifier says about a batch."""

    feature_maps: Float[Tensor, "B P F"]
    feature_vector: Float[Tensor, "B F"]
    logits: Float[Tensor, "B C"]


class Classifier(nn.Module):
    """Adapter and head. `forward(tokens (B, T, D)) -> Output`; T as the adapter reads them."""

    def __init__(self, adapter: BaseAdapter, head: DenseHead | SparseHead) -> None:
        super().__init__()
        self.adapter = adapter
        self.head = head

    def forward(self, tokens: Float[Tensor, "B T D"]) -> Output:
        """Return feature maps, feature vector and logits of a batch of tokens."""
        maps, vector = self.adapter(tokens)
        return Output(maps, vector, self.head(vector))

    @property
    def weight(self) -> Float[Tensor, "C F"]:
        """Return the class x feature weights of the head."""
        return self.head.weight

    def tensors(self) -> dict[str, Tensor]:
        """Return everything needed to rebuild the classifier with `from_tensors`."""
        return {
            f"classifier.{name}": value.detach().cpu().contiguous()
            for name, value in self.state_dict().items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: Shape) -> "Classifier":
        """Rebuild a classifier in evaluation mode; the kind of head follows from its tensors.

        Raises:
            DataError: tensors are missing, left over or of another shape.
        """
        prefix = "classifier."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        generator = torch.Generator().manual_seed(0)
        adapter = shape.build(generator)
        head: DenseHead | SparseHead
        try:
            if "head.mean" in state:
                weight, mean, std = (state[f"head.{name}"] for name in ("weight", "mean", "std"))
                head = SparseHead(weight, mean, std, state.get("head.bias"))
            else:
                head = DenseHead(
                    adapter.features, len(state["head.weight"]), dropout=0.0, generator=generator
                )
            model = cls(adapter, head)
            model.load_state_dict(state, strict=True)
        except (KeyError, RuntimeError) as error:
            raise DataError(
                f"The stored tensors do not make a classifier of shape {shape}: {error}. "
                "The file is from another version or damaged; make it again."
            ) from error
        return model.eval()
