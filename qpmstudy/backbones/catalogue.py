"""The pretrained backbones: which are published, under which names, in which layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SIDE = 224
"""Side of the square that a pretrained backbone sees, in pixels, unless its name has another."""


@dataclass(frozen=True)
class Layout:
    """How a family's checkpoints name and store what the model here holds.

    Attributes:
        renames: what to replace in the name of a tensor here, in order, for its published one.
        unused: endings of the names of published tensors that no token depends on.
        registers: DINOv2's register models store no position for the class token, and
            resample positions in another way than those without.
    """

    renames: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    registers: bool = False

    def published(self, name: str) -> str:
        """Return the published name of the tensor called `name` here."""
        for ours, theirs in self.renames:
            name = name.replace(ours, theirs)
        return name


@dataclass(frozen=True)
class Entry:
    """One pretrained backbone.

    Attributes:
        name: what the registry calls it.
        architecture: what timm (or, for resnet50, torchvision) calls it.
        layout: of its checkpoint.
        source: where its authors publish it.
        hub: where timm publishes it once more.
        files: names of the checkpoint files, the one that is looked for first in front.
        layers: how many layers there are to take tokens from: blocks, or stages of a ResNet.
        patch: side of the square of pixels behind one token of the last layer.
        final_norm: whether a layer norm follows the last layer.
        size: timm's arguments for another width and depth than the architecture's own.
    """

    name: str
    architecture: str
    layout: Layout
    source: str
    hub: str
    files: tuple[str, ...]
    layers: int
    patch: int
    final_norm: bool = True
    size: Mapping[str, Any] = field(default_factory=dict)


DINO = Layout()
DINOV2 = Layout(unused=("mask_token",))
DINOV2_REGISTERS = Layout(
    renames=(("reg_token", "register_tokens"),), unused=("mask_token",), registers=True
)
DINOV3 = Layout(
    renames=(
        ("reg_token", "storage_tokens"),
        ("rope.periods", "rope_embed.periods"),
        (".gamma_1", ".ls1.gamma"),
        (".gamma_2", ".ls2.gamma"),
        (".q_bias", ".qkv.bias"),
        (".k_bias", ".qkv.bias"),
        (".v_bias", ".qkv.bias"),
    ),
    unused=("mask_token",),
)
RESNET = Layout(unused=("fc.weight", "fc.bias", "num_batches_tracked"))


def _swiglu(layout: Layout) -> Layout:
    gates = ((".mlp.fc1.", ".mlp.w12."), (".mlp.fc2.", ".mlp.w3."))
    return replace(layout, renames=layout.renames + gates)


META = "https://dl.fbaipublicfiles.com"


BLOCKS = {"small": 12, "base": 12, "large": 24, "giant": 40}


def _dino(name: str, timm_size: str, patch: int, stem: str) -> Entry:
    file = f"{stem}_pretrain.pth"
    return Entry(
        name=name,
        architecture=f"vit_{timm_size}_patch{patch}_224",
        layout=DINO,
        source=f"{META}/dino/{stem}_pretrain/{file}",
        hub=f"timm/vit_{timm_size}_patch{patch}_224.dino",
        files=(file,),
        layers=BLOCKS[timm_size],
        patch=patch,
    )


def _dinov2(size: str, timm_size: str) -> tuple[Entry, Entry]:
    """Return the model of one size without and with its four registers."""
    entries = []
    for ours, timm, theirs, layout in (
        ("", "", "", DINOV2),
        ("-reg", "_reg4", "_reg4", DINOV2_REGISTERS),
    ):
        file = f"dinov2_{size}{theirs}_pretrain.pth"
        entries.append(
            Entry(
                name=f"dinov2-{size}{ours}",
                architecture=f"vit_{timm_size}_patch14{timm}_dinov2",
                layout=_swiglu(layout) if timm_size == "giant" else layout,
                source=f"{META}/dinov2/dinov2_{size}/{file}",
                hub=f"timm/vit_{timm_size}_patch14{timm}_dinov2.lvd142m",
                files=(file,),
                layers=BLOCKS[timm_size],
                patch=14,
            )
        )
    return entries[0], entries[1]


def _dinov3(size: str, timm_size: str, digest: str) -> Entry:
    return Entry(
        name=f"dinov3-{size}",
        architecture=f"vit_{timm_size}_patch16_dinov3_qkvb",
        layout=DINOV3,
        source="https://ai.meta.com/resources/models-and-libraries/dinov3-downloads (on request)",
        hub=f"timm/vit_{timm_size}_patch16_dinov3_qkvb.lvd1689m",
        files=(f"dinov3_{size}_pretrain_lvd1689m-{digest}.pth",),
        layers=BLOCKS[timm_size],
        patch=16,
    )


_ENTRIES = (
    _dino("dino-vits16", "small", 16, "dino_deitsmall16"),
    _dino("dino-vits8", "small", 8, "dino_deitsmall8"),
    _dino("dino-vitb16", "base", 16, "dino_vitbase16"),
    _dino("dino-vitb8", "base", 8, "dino_vitbase8"),
    *_dinov2("vits14", "small"),
    *_dinov2("vitb14", "base"),
    *_dinov2("vitl14", "large"),
    *_dinov2("vitg14", "giant"),
    _dinov3("vits16", "small", "08c60483"),
    _dinov3("vitb16", "base", "73cec8be"),
    _dinov3("vitl16", "large", "8aa4cbdd"),
    Entry(
        name="resnet50",
        architecture="resnet50",
        layout=RESNET,
        source="https://download.pytorch.org/models/resnet50-0676ba61.pth",
        hub="timm/resnet50.tv_in1k",
        # The first two are the same weights, the second in a format that torch no longer reads
        # without unpickling code; the third is torchvision's later training.
        files=("resnet50-0676ba61.pth", "resnet50-19c8e357.pth", "resnet50-11ad3fa6.pth"),
        layers=4,
        patch=32,
        final_norm=False,
    ),
)
CATALOGUE: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}
