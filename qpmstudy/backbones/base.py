"""What every frozen backbone looks like to the rest."""

from abc import ABC, abstractmethod

from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from qpmstudy.backbones.preprocessing import seen_pixels


class Backbone(ABC):
    """A frozen map from an image to P patch tokens and one vector for the whole image.

    Attributes:
        name: what the registry calls it, with its options.
        dim: D, length of a token.
        grid: rows and columns of the patch grid; P = rows * columns.
        weight_hash: sha256 that changes whenever the tokens of an image would.
        preprocessing: JSON-able description of `preprocess`; holds at least "resize" (length
            of the shorter side), "crop" (side of the centred square that is kept) and
            "interpolation".
    """

    name: str
    dim: int
    grid: tuple[int, int]
    weight_hash: str
    preprocessing: dict[str, object]

    def preprocess(self, image: Image.Image) -> Float[Tensor, "3 side side"]:
        """Return what `embed` wants of one picture of any size and mode, on the CPU."""
        return self.normalised(seen_pixels(image, self.preprocessing)[None])[0].cpu()

    @abstractmethod
    def normalised(self, pixels: UInt8[Tensor, "B 3 side side"]) -> Float[Tensor, "B 3 side side"]:
        """Return what `embed` wants of the `seen_pixels` of pictures, where it wants it.

        Apart from `preprocess`, so that other processes can decode pictures without a network.
        """

    @abstractmethod
    def embed(
        self, images: Float[Tensor, "B 3 side side"]
    ) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B D"]]:
        """Return F^froz, row-major over the grid, and f^froz (CLS), both on the CPU."""
