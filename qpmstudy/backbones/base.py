"""What every frozen backbone looks like to the rest."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from PIL import Image
from torch import Tensor


class Backbone(ABC):
    """A frozen map from an image to P patch tokens and one vector for the whole image.

    Attributes:
        name: what the registry calls it.
        dim: D, length of a token.
        grid: rows and columns of the patch grid; P = rows * columns.
        weight_hash: sha256 that changes whenever the tokens of an image would.
        preprocessing: JSON-able description of `preprocess`; holds at least "resize" (length
            of the shorter side) and "crop" (side of the centred square that is kept).
    """

    name: str
    dim: int
    grid: tuple[int, int]
    weight_hash: str
    preprocessing: dict[str, object]

    @abstractmethod
    def preprocess(self, image: Image.Image) -> Float[Tensor, "3 H W"]:
        """Return what `embed` wants of one picture of any size and mode, on the CPU."""

    @abstractmethod
    def embed(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B D"]]:
        """Return F^froz, row-major over the grid, and f^froz (CLS), both on the CPU."""
