"""Checkpoints with random weights under the names and in the shapes that the authors publish."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Vit:
    """A vision transformer as published."""

    family: str  # "dino", "dinov2" or "dinov3"
    dim: int
    depth: int
    heads: int
    patch: int
    stored: int  # side of the grid of stored positions
    registers: int = 0
    swiglu: bool = False

    def shapes(self) -> Shapes:
        """Return the shape of every tensor of the checkpoint."""
        d = self.dim
        shapes: Shapes = {"cls_token": (1, 1, d), "norm.weight": (d,), "norm.bias": (d,)}
        shapes |= {
            "patch_embed.proj.weight": (d, 3, self.patch, self.patch),
            "patch_embed.proj.bias": (d,),
        }
        if self.family == "dinov3":
            shapes["rope_embed.periods"] = (d // self.heads // 4,)
        else:
            shapes["pos_embed"] = (1, self.stored**2 + 1, d)
        if self.family != "dino":
            shapes["mask_token"] = (1, d)
        if self.registers:
            name = "storage_tokens" if self.family == "dinov3" else "register_tokens"
            shapes[name] = (1, self.registers, d)
        for block in range(self.depth):
            shapes |= {f"blocks.{block}.{name}": shape for name, shape in self._block().items()}
        return shapes

    def _block(self) -> Shapes:
        d = self.dim
        shapes: Shapes = {"attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,)}
        shapes |= {"attn.proj.weight": (d, d), "attn.proj.bias": (d,)}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{norm}.weight": (d,), f"{norm}.bias": (d,)}
        if self.family != "dino":
            shapes |= {"ls1.gamma": (d,), "ls2.gamma": (d,)}
        if self.family == "dinov3":
            shapes["attn.qkv.bias_mask"] = (3 * d,)
        if self.swiglu:
            hidden = (4 * d * 2 // 3 + 7) // 8 * 8
            shapes |= {"mlp.w12.weight": (2 * hidden, d), "mlp.w12.bias": (2 * hidden,)}
            shapes |= {"mlp.w3.weight": (d, hidden), "mlp.w3.bias": (d,)}
        else:
            shapes |= {"mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,)}
            shapes |= {"mlp.fc2.weight": (d, 4 * d), "mlp.fc2.bias": (d,)}
        return shapes

    def random(self, seed: int = 0) -> dict[str, Tensor]:
        """Return a checkpoint in which every tensor matters to the tokens."""
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for name, shape in self.shapes().items():
            noise = torch.randn(shape, generator=generator)
            if name.endswith("periods"):  # as published: rounded to bfloat16
                count = shape[0]
                weights[name] = (100.0 ** (torch.arange(count) / count)).bfloat16().float()
            elif name.endswith("bias_mask"):
                weights[name] = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(self.dim)
            elif name.endswith("gamma") or (name.endswith("weight") and len(shape) == 1):
                weights[name] = 1 + 0.2 * noise
            elif len(shape) > 1 and name.endswith("weight"):
                weights[name] = noise / noise[0].numel() ** 0.5
            else:
                weights[name] = 0.5 * noise
        return weights


def tiny_vit(vit: Vit, **changes: int) -> Vit:
    """Return a transformer like another, narrow and of two blocks."""
    return replace(vit, dim=48, depth=2, heads=3, **changes)


def random_resnet(seed: int = 0) -> dict[str, Tensor]:
    """Return a ResNet-50 checkpoint in which every tensor matters and no map dies out."""
    from torchvision.models import resnet50

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in resnet50().state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(1)
        elif name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            weights[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) == 1:
            weights[name] = 0.1 * torch.randn(shape, generator=generator)
        else:
            scale = (2 / shape[1:].numel()) ** 0.5
            weights[name] = scale * torch.randn(shape, generator=generator)
    return weights


SMALL, BASE, LARGE, GIANT = (384, 12, 6), (768, 12, 12), (1024, 24, 16), (1536, 40, 24)

PUBLISHED: dict[str, Vit] = {
    "dino-vits16": Vit("dino", *SMALL, 16, 14),
    "dino-vits8": Vit("dino", *SMALL, 8, 28),
    "dino-vitb16": Vit("dino", *BASE, 16, 14),
    "dino-vitb8": Vit("dino", *BASE, 8, 28),
    "dinov2-vits14": Vit("dinov2", *SMALL, 14, 37),
    "dinov2-vits14-reg": Vit("dinov2", *SMALL, 14, 37, 4),
    "dinov2-vitb14": Vit("dinov2", *BASE, 14, 37),
    "dinov2-vitb14-reg": Vit("dinov2", *BASE, 14, 37, 4),
    "dinov2-vitl14": Vit("dinov2", *LARGE, 14, 37),
    "dinov2-vitl14-reg": Vit("dinov2", *LARGE, 14, 37, 4),
    "dinov2-vitg14": Vit("dinov2", *GIANT, 14, 37, swiglu=True),
    "dinov2-vitg14-reg": Vit("dinov2", *GIANT, 14, 37, 4, swiglu=True),
    "dinov3-vits16": Vit("dinov3", *SMALL, 16, 0, 4),
    "dinov3-vitb16": Vit("dinov3", *BASE, 16, 0, 4),
    "dinov3-vitl16": Vit("dinov3", *LARGE, 16, 0, 4),
}
