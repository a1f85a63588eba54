"""ResNet-50 once more, in float64 and from its paper: sums of products and nothing of torchvision.

Stride 2 stands in the 3 x 3 convolution of a block, as in the published weights, and not in the
first one as in the paper.
"""

from torch import Tensor
from torch.nn.functional import pad, unfold

BLOCKS = (3, 4, 6, 3)


def plain_stage(checkpoint: dict[str, Tensor], images: Tensor, stage: int) -> Tensor:
    """Return the map of a stage (from 1) as float64, B x D x rows x columns."""
    w = {name: tensor.double() for name, tensor in checkpoint.items()}
    x = _normed(w, "bn1", _convolved(images.double(), w["conv1.weight"], stride=2, border=3))
    x = _largest(x.clamp(min=0))
    for layer in range(1, stage + 1):
        for block in range(BLOCKS[layer - 1]):
            stride = 2 if layer > 1 and block == 0 else 1
            x = _block(w, f"layer{layer}.{block}", x, stride)
    return x


def _block(w: dict[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    y = _normed(w, f"{name}.bn1", _convolved(x, w[f"{name}.conv1.weight"])).clamp(min=0)
    y = _convolved(y, w[f"{name}.conv2.weight"], stride, border=1)
    y = _normed(w, f"{name}.bn2", y).clamp(min=0)
    y = _normed(w, f"{name}.bn3", _convolved(y, w[f"{name}.conv3.weight"]))
    if f"{name}.downsample.0.weight" in w:
        x = _convolved(x, w[f"{name}.downsample.0.weight"], stride)
        x = _normed(w, f"{name}.downsample.1", x)
    return (x + y).clamp(min=0)


def _convolved(x: Tensor, weight: Tensor, stride: int = 1, border: int = 0) -> Tensor:
    size = weight.shape[-1]
    rows, columns = ((side + 2 * border - size) // stride + 1 for side in x.shape[2:])
    patches = unfold(x, size, padding=border, stride=stride)
    return (weight.flatten(1) @ patches).unflatten(2, (rows, columns))


def _normed(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    scale = w[f"{name}.weight"] / (variance + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + w[f"{name}.bias"][:, None, None]


def _largest(x: Tensor) -> Tensor:
    """Return the maximum over squares of 3 x 3 pixels, of every second one."""
    rows, columns = ((side + 1) // 2 for side in x.shape[2:])
    patches = unfold(pad(x, (1, 1, 1, 1), value=float("-inf")), 3, stride=2)
    return patches.unflatten(1, (x.shape[1], 9)).amax(2).unflatten(2, (rows, columns))
